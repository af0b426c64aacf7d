//! The values that a sweep tries: a list or a range for each key, all combinations or some drawn at random.

use rand_chacha::rand_core::Rng;
use toml::{Table, Value};

use crate::config::{Config, Unknown};
use crate::data::{Stream, rng_at};
use crate::error::{Error, Result, nearest};

/// The most runs that are taken for meant.
pub(super) const MOST: usize = 10_000;

/// How runs are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Every combination of the values.
    Grid,
    /// That many different ones, each value drawn on its own.
    Random(usize),
}

/// What is tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// Keys as `section.key`, in the order of the alphabet, with the values of each.
    keys: Vec<(String, Values)>,
}

/// What one key is set to.
#[derive(Clone, Debug, PartialEq)]
enum Values {
    /// These, as the command line would spell them.
    List(Vec<String>),
    /// Numbers between two.
    Range { from: f64, to: f64, log: bool, steps: Option<usize>, whole: bool },
}

impl Search {
    /// The names in a file.
    pub(super) const NAMES: [&'static str; 2] = ["grid", "random"];

    /// From a name and a number of runs.
    ///
    /// # Errors
    /// [`Error::Setting`] where the two do not go together.
    pub(super) fn new(name: &str, runs: Option<usize>, place: &str) -> Result<Self> {
        match (name, runs) {
            ("grid", None) => Ok(Self::Grid),
            ("grid", Some(_)) => Err(Error::setting(
                format!("{place}: sweep.runs"),
                "a number of runs with sweep.search grid",
                "none: a grid has every combination (or sweep.search random)",
            )),
            ("random", Some(runs)) if (1..=MOST).contains(&runs) => Ok(Self::Random(runs)),
            ("random", runs) => {
                let found = runs.map_or("there is none".to_owned(), |runs| runs.to_string());
                Err(Error::setting(format!("{place}: sweep.runs"), found, format!("a number from 1 to {MOST}")))
            }
            _ => {
                let unknown = Unknown::new(name, &Self::NAMES).to_string();
                Err(Error::setting(format!("{place}: sweep.search"), unknown, "grid or random"))
            }
        }
    }
}

impl Space {
    /// From `[sweep.keys]`; `place` is what errors call the file.
    ///
    /// # Errors
    /// [`Error::Setting`] where there are no keys, or values that are none.
    pub(super) fn parse(table: &Table, place: &str) -> Result<Self> {
        let mut keys = Vec::new();
        for (name, value) in table {
            match value {
                // `sparsity.beta = …` under [sweep.keys] is a table in a table.
                Value::Table(inner) if !inner.contains_key("from") => {
                    for (key, value) in inner {
                        let key = format!("{name}.{key}");
                        keys.push((key.clone(), Values::parse(&key, value, place)?));
                    }
                }
                value => keys.push((name.clone(), Values::parse(name, value, place)?)),
            }
        }
        if keys.is_empty() {
            let expected = "at least one, as in `sparsity.beta = [0.1, 1, 3]`";
            return Err(Error::setting(format!("{place}: [sweep.keys]"), "there are no keys", expected));
        }
        keys.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = keys.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let found = "this key is there twice";
            return Err(Error::setting(format!("{place}: sweep.keys.{}", pair[0].0), found, "each key once"));
        }
        Ok(Self { keys })
    }

    /// The keys, in the order of the points' values.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(key, _)| key.as_str())
    }

    /// Every combination, the last key's values next to each other.
    ///
    /// # Errors
    /// [`Error::Setting`] where a range has no number of steps, or where there are too many.
    pub(super) fn grid(&self, place: &str) -> Result<Vec<Vec<String>>> {
        let lists = self.keys.iter().map(|(key, values)| values.list(key, place)).collect::<Result<Vec<_>>>()?;
        let count = lists.iter().fold(1usize, |count, list| count.saturating_mul(list.len()));
        if count > MOST {
            let found = format!("{count} combinations");
            return Err(Error::setting(format!("{place}: [sweep.keys]"), found, format!("at most {MOST}")));
        }
        let mut points = vec![Vec::new()];
        for list in &lists {
            points = points
                .iter()
                .flat_map(|point: &Vec<String>| {
                    list.iter().map(move |value| point.iter().cloned().chain([value.clone()]).collect())
                })
                .collect();
        }
        Ok(points)
    }

    /// Draw number `index`: a function of the seed and of it.
    pub(super) fn draw(&self, seed: u64, index: u64) -> Vec<String> {
        let mut rng = rng_at(seed, Stream::Sweep, index);
        let mut unit = || (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        self.keys.iter().map(|(_, values)| values.at(unit())).collect()
    }
}

impl Values {
    fn parse(key: &str, value: &Value, place: &str) -> Result<Self> {
        let place = format!("{place}: sweep.keys.{key}");
        match value {
            Value::Array(list) if !list.is_empty() => {
                let texts = list.iter().map(|value| spelt(value, &place)).collect::<Result<Vec<_>>>()?;
                if let Some(twice) = texts.iter().enumerate().find(|(i, text)| texts[..*i].contains(text)) {
                    return Err(Error::setting(place, format!("{} is there twice", twice.1), "each value once"));
                }
                Ok(Self::List(texts))
            }
            Value::Table(table) => Self::range(key, table, &place),
            _ => Err(Error::setting(
                place,
                "neither a list nor a range",
                "[0.1, 1, 3] or { from = 0.1, to = 3, scale = \"log\", steps = 5 }",
            )),
        }
    }

    fn range(key: &str, table: &Table, place: &str) -> Result<Self> {
        const NAMES: [&str; 4] = ["from", "to", "scale", "steps"];
        if let Some(unknown) = table.keys().find(|name| !NAMES.contains(&name.as_str())) {
            return Err(Error::Setting {
                place: place.to_owned(),
                found: format!("unknown `{unknown}`"),
                expected: format!("a range of {}", NAMES.join(", ")),
                nearest: nearest(unknown, NAMES).map(str::to_owned),
            });
        }
        let number = |name: &str| match table.get(name) {
            Some(Value::Float(v)) if v.is_finite() => Ok(*v),
            Some(Value::Integer(v)) => Ok(*v as f64),
            _ => Err(Error::setting(format!("{place}.{name}"), "this is no number", "a finite number")),
        };
        let (from, to) = (number("from")?, number("to")?);
        if from >= to {
            return Err(Error::setting(place, format!("from {from} to {to}"), "a `to` above `from`"));
        }
        let log = match table.get("scale").map(Value::as_str) {
            None => false,
            Some(Some("linear")) => false,
            Some(Some("log")) => true,
            Some(_) => return Err(Error::setting(format!("{place}.scale"), "another scale", "\"linear\" or \"log\"")),
        };
        if log && from <= 0.0 {
            return Err(Error::setting(place, format!("from {from} on a logarithmic scale"), "a `from` above 0"));
        }
        let steps = match table.get("steps") {
            None => None,
            Some(Value::Integer(steps)) if (2..=MOST as i64).contains(steps) => Some(*steps as usize),
            Some(_) => {
                let expected = format!("a whole number from 2 to {MOST}");
                return Err(Error::setting(format!("{place}.steps"), "this is none", expected));
            }
        };
        Ok(Self::Range { from, to, log, steps, whole: is_whole(key) })
    }

    /// All of them, for a grid.
    fn list(&self, key: &str, place: &str) -> Result<Vec<String>> {
        match self {
            Self::List(list) => Ok(list.clone()),
            Self::Range { steps: Some(steps), .. } => {
                let mut list: Vec<String> = (0..*steps).map(|i| self.at(i as f64 / (*steps - 1) as f64)).collect();
                // Whole numbers of a narrow range are rounded to the same.
                list.dedup();
                Ok(list)
            }
            Self::Range { .. } => {
                let place = format!("{place}: sweep.keys.{key}");
                Err(Error::setting(place, "a range without steps in a grid", "a number of `steps`, or search random"))
            }
        }
    }

    /// The value at `t`, of 0 to 1.
    fn at(&self, t: f64) -> String {
        match self {
            Self::List(list) => list[((t * list.len() as f64) as usize).min(list.len() - 1)].clone(),
            &Self::Range { from, to, log, whole, .. } => {
                let value = match t {
                    0.0 => from,
                    1.0 => to,
                    t if log => from * (to / from).powf(t),
                    t => from + t * (to - from),
                };
                if whole { format!("{value:.0}") } else { rounded(value).to_string() }
            }
        }
    }
}

/// To four digits: what a table shows is what was trained with.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// Whether a key takes whole numbers.
fn is_whole(key: &str) -> bool {
    let Ok(known) = Table::try_from(Config::default()) else { return false };
    let value = match key.split_once('.') {
        Some((section, key)) => known.get(section).and_then(|section| section.get(key)),
        None => known.get(key),
    };
    value.is_some_and(Value::is_integer)
}

/// A value as the command line would spell it.
fn spelt(value: &Value, place: &str) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(v) => Ok(v.to_string()),
        Value::Float(v) => Ok(v.to_string()),
        Value::Boolean(v) => Ok(v.to_string()),
        _ => Err(Error::setting(place, "a value that is no number, text, true or false", "values a key can have")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(text: &str) -> Result<Space> {
        Space::parse(&toml::from_str(text).unwrap(), "sweep.toml")
    }

    #[test]
    fn a_grid_has_every_combination_once_whichever_way_keys_are_written() {
        for text in ["sparsity.beta = [1, 3]\nseed = [0, 1, 2]", "'sparsity.beta' = [1, 3]\nseed = [0, 1, 2]"] {
            let space = space(text).unwrap();
            assert_eq!(space.keys().collect::<Vec<_>>(), ["seed", "sparsity.beta"]);
            let points = space.grid("sweep.toml").unwrap();
            let expected = [["0", "1"], ["0", "3"], ["1", "1"], ["1", "3"], ["2", "1"], ["2", "3"]];
            assert_eq!(points, expected.map(|point| point.map(str::to_owned).to_vec()));
        }
    }

    #[test]
    fn a_range_reaches_both_ends_in_equal_steps_of_its_scale() {
        let grid = |text: &str| -> Vec<String> { space(text).unwrap().grid("").unwrap().concat() };
        assert_eq!(grid("sparsity.beta = { from = 0, to = 1, steps = 5 }"), ["0", "0.25", "0.5", "0.75", "1"]);
        let log = grid("sparsity.rho = { from = 0.001, to = 0.1, scale = 'log', steps = 5 }");
        assert_eq!(log, ["0.001", "0.003162", "0.01", "0.03162", "0.1"]);
        // Whole numbers for keys that take such.
        assert_eq!(grid("model.d_hid = { from = 10, to = 20, steps = 4 }"), ["10", "13", "17", "20"]);
    }

    #[test]
    fn draws_stay_in_their_range_and_the_seed_decides() {
        let space = space("optimizer.lr = { from = 1e-4, to = 1e-2, scale = 'log' }\nmodel.d_hid = [3, 5]").unwrap();
        let mut below = 0;
        for index in 0..200 {
            let point = space.draw(7, index);
            assert_eq!(point, space.draw(7, index));
            let lr: f64 = point[1].parse().unwrap();
            assert!((1e-4..=1e-2).contains(&lr) && ["3", "5"].contains(&point[0].as_str()), "{point:?}");
            below += usize::from(lr < 1e-3);
        }
        // Half of them on a logarithmic scale: 100 of 200, six standard deviations of 7 on either side.
        assert!((58..=142).contains(&below), "{below}");
        assert_ne!(space.draw(7, 0), space.draw(8, 0));
    }

    #[test]
    fn what_is_no_value_is_refused_in_one_line_that_names_the_key() {
        for (text, said) in [
            ("", "there are no keys"),
            ("seed = 3", "neither a list nor a range"),
            ("seed = []", "neither a list nor a range"),
            ("seed = [1, 1]", "1 is there twice"),
            ("seed = [[1]]", "no number, text, true or false"),
            ("sparsity.beta = { from = 3, to = 1 }", "from 3 to 1"),
            ("sparsity.beta = { from = 0, to = 1, scale = 'log' }", "from 0 on a logarithmic scale"),
            ("sparsity.beta = { from = 0, to = 1, scale = 'cubic' }", "\"linear\" or \"log\""),
            ("sparsity.beta = { from = 0, to = 1, step = 3 }", "did you mean `steps`?"),
            ("sparsity.beta = { from = 0, to = 1, steps = 1 }", "from 2 to 10000"),
            ("sparsity.beta = [1]\n'sparsity.beta' = [2]", "this key is there twice"),
        ] {
            let error = space(text).unwrap_err();
            assert!(error.to_string().contains(said) && error.is_usage(), "{text}: {error}");
        }
        let range = space("sparsity.beta = { from = 0, to = 1 }").unwrap().grid("s").unwrap_err().to_string();
        assert!(range.contains("a range without steps in a grid"), "{range}");
        let many: String = (0..5).map(|i| format!("k{i} = {{ from = 0, to = 1, steps = 10 }}\n")).collect();
        assert!(space(&many).unwrap().grid("s").unwrap_err().to_string().contains("100000 combinations"));
    }

    #[test]
    fn a_search_says_what_it_lacks() {
        assert_eq!(Search::new("grid", None, "s").unwrap(), Search::Grid);
        assert_eq!(Search::new("random", Some(3), "s").unwrap(), Search::Random(3));
        for (name, runs) in [("grid", Some(3)), ("random", None), ("random", Some(0)), ("gird", None)] {
            assert!(Search::new(name, runs, "s").unwrap_err().is_usage());
        }
        assert!(Search::new("gird", None, "s").unwrap_err().to_string().contains("did you mean `grid`?"));
    }
}
