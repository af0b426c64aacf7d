//! Comma-separated numbers, one row a line, with or without a header.
//!
//! The first line is a header where none of its fields is a number. A header field `label`, in any case, makes that
//! column the labels. Everything else has to be a finite number, and every row as long as the first.
//!
//! The text is gone through twice, a field at a time: first to see that all of it is right, then to read it into as
//! much memory as its numbers need.

use std::io::Read;

use csv_core::{ReadFieldResult, Reader};

use super::Dataset;
use super::element::{reserved, unreadable};
use super::source::Source;
use crate::error::{Error, Result, excerpt};

/// The longest field: more than any printed number.
const LONGEST: usize = 4096;

/// Loads a `.csv` file.
pub(super) fn load(mut source: Source) -> Result<Dataset> {
    let file = source.name.clone();
    let (mut table, mut reader) = (Table::default(), Reader::new());
    go_through(&mut reader, source.start()?, &file, |field| table.check(field, &file))?;
    let Table { cols: fields, rows, header, label, .. } = table;
    let cols = fields - usize::from(label.is_some());
    if rows == 0 || cols == 0 {
        let found = format!("it has {} of {}", plural(rows, "row"), plural(cols, "column"));
        let header = if header { " (the first line is a header)" } else { "" };
        return Err(Error::input(&file, found + header, "at least one of each"));
    }
    let mut data = reserved(rows.saturating_mul(cols), &file)?;
    let mut labels = label.map(|_| reserved(rows, &file)).transpose()?;
    go_through(&mut reader, source.start()?, &file, |field| {
        match &mut labels {
            _ if header && field.row == 0 => {}
            Some(labels) if label == Some(field.column) => labels.push(field.label(&file)?),
            _ => data.push(field.number(&file)?),
        }
        Ok(())
    })?;
    if data.len() != rows * cols {
        return Err(Error::input(&file, "it has changed while it was read", "a file that stays as it is"));
    }
    let name = source.short_name();
    Ok(Dataset { name, rows, cols, data, image: None, labels })
}

/// What the first pass finds.
#[derive(Debug, Default)]
struct Table {
    /// Fields of the first record.
    cols: usize,
    /// Records, without the header.
    rows: usize,
    header: bool,
    /// The column of the labels.
    label: Option<usize>,
    /// Of the first record, whether a field is a number, and the refusal of the first one that is none.
    any_number: bool,
    wrong: Option<Error>,
    labels: usize,
}

impl Table {
    fn check(&mut self, field: &Field, file: &str) -> Result {
        if field.row == 0 {
            return self.check_first(field, file);
        }
        if field.column >= self.cols || (field.last && field.column + 1 != self.cols) {
            let (columns, more) = (plural(field.column + 1, "column"), if field.last { "" } else { " or more" });
            let found = format!("line {} has {columns}{more}", field.line);
            return Err(Error::input(file, found, format!("{}, as in the first line", self.cols)));
        }
        if self.label == Some(field.column) {
            field.label(file).map(drop)?
        } else {
            field.number(file).map(drop)?
        }
        self.rows += usize::from(field.last);
        Ok(())
    }

    fn check_first(&mut self, field: &Field, file: &str) -> Result {
        self.cols = field.column + 1;
        self.any_number |= field.text.parse::<f64>().is_ok();
        if self.wrong.is_none() {
            self.wrong = field.number(file).err();
        }
        if field.text.eq_ignore_ascii_case("label") {
            self.label = self.label.or(Some(field.column));
            self.labels += 1;
        }
        if !field.last {
            return Ok(());
        }
        self.header = !self.any_number;
        self.rows = usize::from(!self.header);
        match self.wrong.take() {
            Some(wrong) if !self.header => Err(wrong),
            _ if self.labels > 1 => {
                Err(Error::input(file, format!("{} columns are called label", self.labels), "at most one"))
            }
            _ => Ok(()),
        }
    }
}

/// A count with its noun.
fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// A field, and where it is.
struct Field<'a> {
    text: &'a str,
    /// From 0, a header included.
    row: usize,
    /// From 0.
    column: usize,
    /// From 1, of the text.
    line: u64,
    /// Whether it ends its record.
    last: bool,
}

impl Field<'_> {
    fn number(&self, file: &str) -> Result<f32> {
        match self.text.parse::<f32>() {
            Ok(value) if value.is_finite() => Ok(value),
            Ok(_) => Err(self.wrong(file, "a finite number (in f32)")),
            Err(_) if self.text.contains([';', '\t']) => {
                Err(self.wrong(file, "a number, and commas between the columns"))
            }
            Err(_) if self.row == 0 => Err(self.wrong(file, "a number (a header has only names)")),
            Err(_) => Err(self.wrong(file, "a number")),
        }
    }

    fn label(&self, file: &str) -> Result<i64> {
        match self.text.parse::<f64>() {
            Ok(label) if label.fract() == 0.0 && label.abs() < 9e15 => Ok(label as i64),
            _ => Err(self.wrong(file, "a whole number, the label")),
        }
    }

    fn wrong(&self, file: &str, expected: &str) -> Error {
        let found = format!("line {}, column {} is `{}`", self.line, self.column + 1, excerpt(self.text));
        Error::input(file, found, expected)
    }
}

/// Hands `each` every field, trimmed, in order.
fn go_through(
    reader: &mut Reader,
    source: &mut dyn Read,
    file: &str,
    mut each: impl FnMut(&Field) -> Result,
) -> Result {
    reader.reset();
    let (mut buffer, mut start, mut end) = (vec![0u8; 1 << 16], 0, 0);
    let (mut field, mut filled) = ([0u8; LONGEST], 0);
    let (mut row, mut column) = (0, 0);
    loop {
        if start == end {
            (start, end) = (0, super::element::fill(source, &mut buffer).map_err(|e| unreadable(file, &e))?);
        }
        let (result, taken, written) = reader.read_field(&buffer[start..end], &mut field[filled..]);
        let last_byte = buffer[start..start + taken].last().copied();
        start += taken;
        filled += written;
        let last = match result {
            ReadFieldResult::InputEmpty => continue,
            ReadFieldResult::OutputFull => {
                let found = format!("line {}, column {} has more than {LONGEST} bytes", reader.line(), column + 1);
                return Err(Error::input(file, found, "a number"));
            }
            ReadFieldResult::Field { record_end } => record_end,
            ReadFieldResult::End => return Ok(()),
        };
        // The line break that ended the record has been counted.
        let line = reader.line() - u64::from(last && last_byte == Some(b'\n'));
        let Ok(text) = std::str::from_utf8(&field[..filled]) else {
            let found = format!("line {line}, column {} is no UTF-8", column + 1);
            return Err(Error::input(file, found, "text in UTF-8"));
        };
        each(&Field { text: text.trim(), row, column, line, last })?;
        filled = 0;
        (row, column) = if last { (row + 1, 0) } else { (row, column + 1) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Dataset> {
        load(Source::of_bytes("test", bytes))
    }

    fn parse(text: &str) -> Result<Dataset> {
        read(text.as_bytes())
    }

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn numbers_are_read_with_and_without_a_header() {
        let plain = parse("1,2.5\n-3e2, 4 \n").unwrap();
        assert_eq!((plain.rows, plain.cols, plain.data.as_slice()), (2, 2, &[1.0, 2.5, -300.0, 4.0][..]));
        for text in ["a,b\n1,2.5\n-3e2,4", "\u{feff}\"a\",\"b\"\r\n1,2.5\r\n\r\n-3e2,4\r\n"] {
            assert_eq!(parse(text).unwrap(), plain);
        }
    }

    #[test]
    fn a_label_column_becomes_labels() {
        let set = parse("p0,Label,p1\n1,7,2\n3,8,4\n").unwrap();
        assert_eq!((set.cols, set.data, set.labels), (2, vec![1., 2., 3., 4.], Some(vec![7, 8])));
        assert!(error("label,p\n1.5,2\n").contains("line 2, column 1"));
        assert!(error("label\n1\n").contains("0 columns"));
        assert!(error("label,x,LABEL\n1,2,3\n").contains("2 columns are called label"));
    }

    #[test]
    fn what_is_no_number_is_named_by_line_and_column() {
        assert!(error("1,2\n3,x\n").contains("line 2, column 2 is `x`"));
        assert!(error("a,b\n1,2\n\n3,\n").contains("line 4, column 2 is ``"));
        assert!(error("1,b\n").contains("line 1, column 2 is `b`"));
        for bad in ["nan", "inf", "-Infinity", "1e40"] {
            assert!(error(&format!("1,2\n{bad},2\n")).contains("line 2, column 1"), "{bad}");
        }
    }

    #[test]
    fn ragged_rows_and_empty_files_are_refused() {
        assert!(error("1,2\n3\n").contains("line 2 has 1 column, expected 2"));
        assert!(error("1,2\n3,4,5\n").contains("line 2 has 3 columns"));
        assert!(error("1,2\n3,4\n5,6,7\n").contains("line 3 has 3 columns"));
        for text in ["", "\n\n", "a,b\n"] {
            assert!(error(text).contains("at least one"), "{text:?}");
        }
    }

    #[test]
    fn a_field_longer_than_any_number_is_refused_and_a_long_row_is_not() {
        assert!(
            error(&format!("1,{}\n", "2".repeat(LONGEST + 1))).contains("line 1, column 2 has more than 4096 bytes")
        );
        assert!(error(&format!("1,2\n\"{}", ",\n".repeat(LONGEST))).contains("column 1 has more than 4096 bytes"));
        let row = "1,".repeat(99_999) + "2\n";
        assert_eq!(parse(&row.repeat(2)).map(|set| (set.rows, set.cols)).unwrap(), (2, 100_000));
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        for (bytes, place) in [
            (&b"1,\xff\xfe\n"[..], "line 1, column 2"),
            (b"a,b\n1,2\n3,\xe9\n", "line 3, column 2"),
            // UTF-16, whose first line would pass for a header.
            (b"\xff\xfe1\0,\x002\0\n\0", "line 1, column 1"),
        ] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(place) && error.contains("expected text in UTF-8"), "{error}");
        }
    }

    #[test]
    fn other_separators_are_named() {
        for text in ["1;2\n3;4\n", "a\tb\n1\t2\n"] {
            assert!(error(text).contains("commas between the columns"), "{}", error(text));
        }
        assert!(error("a,b\n").contains("0 rows of 2 columns (the first line is a header)"));
    }

    proptest::proptest! {
        #[test]
        fn printed_numbers_are_read_back_exactly(values in proptest::collection::vec(proptest::num::f32::NORMAL, 1..20)) {
            let text: String = values.iter().map(|v| format!("{v:e}\n")).collect();
            proptest::prop_assert_eq!(parse(&text).unwrap().data, values);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::sample::select(&b"1a,.\"\n\r -\xff"[..]), 0..40)) {
            let _ = read(&bytes);
        }
    }
}
