//! Comma-separated numbers, one row a line, with or without a header.
//!
//! The first line is a header where none of its fields is a number. A header field `label`, in any case, makes that
//! column the labels. Everything else has to be a finite number, and every row as long as the first.

use std::io::Read;

use ::csv::{ByteRecord, ReaderBuilder};

use super::{Dataset, Source};
use crate::error::{Error, Result, excerpt};

/// Loads a `.csv` file.
pub(super) fn load(source: Source) -> Result<Dataset> {
    let name = source.short_name();
    let Source { path, name: file, file: mut handle, .. } = source;
    let mut bytes = Vec::new();
    handle.read_to_end(&mut bytes).map_err(|e| Error::read(&path, e))?;
    read(&bytes, name, &file)
}

fn read(bytes: &[u8], name: String, file: &str) -> Result<Dataset> {
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).trim(::csv::Trim::All).from_reader(bytes);
    let mut record = ByteRecord::new();
    let (mut fields, mut label_column) = (None, None);
    let (mut data, mut labels): (Vec<f32>, Vec<i64>) = (Vec::new(), Vec::new());
    let mut rows = 0;
    while reader.read_byte_record(&mut record).map_err(|e| unreadable(file, &e))? {
        let line = || line_of(bytes, record.position().map_or(0, |p| p.byte()));
        let first = fields.is_none();
        let expected = *fields.get_or_insert(record.len());
        if record.len() != expected {
            let found = format!("line {} has {} columns", line(), record.len());
            return Err(Error::input(file, found, format!("{expected}, as in the first line")));
        }
        if first && record.iter().all(|field| text(field).parse::<f64>().is_err()) {
            label_column = record.iter().position(|field| field.eq_ignore_ascii_case(b"label"));
            continue;
        }
        for (column, field) in record.iter().enumerate() {
            let field = text(field);
            let wrong = |expected: &str| {
                let found = format!("line {}, column {} is `{}`", line(), column + 1, excerpt(&field));
                Err(Error::input(file, found, expected))
            };
            if label_column == Some(column) {
                match field.parse::<f64>() {
                    Ok(label) if label.fract() == 0.0 && label.abs() < 9e15 => labels.push(label as i64),
                    _ => return wrong("a whole number, the label"),
                }
                continue;
            }
            match field.parse::<f32>() {
                Ok(value) if value.is_finite() => data.push(value),
                Ok(_) => return wrong("a finite number (in f32)"),
                Err(_) if first => return wrong("a number (a header has only names)"),
                Err(_) => return wrong("a number"),
            }
        }
        rows += 1;
    }
    let cols = fields.unwrap_or(0) - usize::from(label_column.is_some());
    if rows == 0 || cols == 0 {
        return Err(Error::input(file, format!("there are {rows} rows of {cols} columns"), "at least one of each"));
    }
    Ok(Dataset { name, rows, cols, data, image: None, labels: label_column.map(|_| labels) })
}

/// The number of the line, from 1, on which the record that was looked for from byte `start` on begins.
fn line_of(bytes: &[u8], start: u64) -> usize {
    let (before, rest) = bytes.split_at((start as usize).min(bytes.len()));
    let blank = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
    1 + before.iter().chain(blank).filter(|&&b| b == b'\n').count()
}

fn text(field: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(field)
}

fn unreadable(file: &str, error: &::csv::Error) -> Error {
    Error::input(file, crate::error::one_line(&error.to_string()), "comma-separated numbers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Dataset> {
        read(text.as_bytes(), "test".into(), "test")
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
        assert!(error("1,2\n3\n").contains("line 2 has 1 columns, expected 2"));
        assert!(error("1,2\n3,4,5\n").contains("line 2 has 3 columns"));
        for text in ["", "\n\n", "a,b\n"] {
            assert!(error(text).contains("at least one"), "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        assert!(read(b"1,\xff\xfe\n", "t".into(), "t").is_err());
    }

    proptest::proptest! {
        #[test]
        fn printed_numbers_are_read_back_exactly(values in proptest::collection::vec(proptest::num::f32::NORMAL, 1..20)) {
            let text: String = values.iter().map(|v| format!("{v:e}\n")).collect();
            proptest::prop_assert_eq!(parse(&text).unwrap().data, values);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::sample::select(&b"1a,.\"\n\r -\xff"[..]), 0..40)) {
            let _ = read(&bytes, "t".into(), "t");
        }
    }
}
