//! From a TOML file and `--section.key value` pairs to a [`Config`].
//!
//! The defaults, as a TOML table, are the list of keys and of their types. Each setting is laid over them by one
//! function, whichever side it comes from, so that every error can name its place.

use std::path::Path;

use serde::Deserialize;
use toml::de::DeTable;
use toml::{Table, Value};

use super::{Config, OptimizerKind};
use crate::error::{Error, Result, excerpt, nearest, one_line};
use crate::paths::missing;

/// PyTorch's default for Adagrad.
const ADAGRAD_EPS: f64 = 1e-10;

impl Config {
    /// The settings of the file at `path`, if any, with `overrides` (`("model.d_hid", "64")`) laid over them in order,
    /// checked.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the file and line, or the option; [`Error::Missing`], [`Error::Read`].
    pub fn load(path: Option<&Path>, overrides: &[(String, String)]) -> Result<Self> {
        let (text, name) = match path {
            Some(path) => (read(path)?, one_line(&path.to_string_lossy())),
            None => (String::new(), String::new()),
        };
        Self::parse(&text, &name, overrides)
    }

    /// The same from TOML `text`; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn parse(text: &str, name: &str, overrides: &[(String, String)]) -> Result<Self> {
        Self::parse_laid(text, name, overrides, None)
    }

    /// The same where the text has another section, `beside`, which is somebody else's.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub(crate) fn parse_beside(text: &str, name: &str, overrides: &[(String, String)], beside: &str) -> Result<Self> {
        Self::parse_laid(text, name, overrides, Some(beside))
    }

    /// The text of a file of settings.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Read`], [`Error::Input`] for what is no such file.
    pub(crate) fn read(path: &Path) -> Result<String> {
        read(path)
    }

    fn parse_laid(text: &str, name: &str, overrides: &[(String, String)], beside: Option<&str>) -> Result<Self> {
        let mut settings = Settings::new()?;
        settings.lay_text(text, name, beside)?;
        for (key, value) in overrides {
            settings.lay_override(key, value)?;
        }
        let optimizer = &mut settings.config.optimizer;
        if optimizer.kind == OptimizerKind::Adagrad && !settings.eps_given {
            optimizer.eps = ADAGRAD_EPS;
        }
        settings.config.validate()?;
        Ok(settings.config)
    }
}

fn read(path: &Path) -> Result<String> {
    /// Far more than any config needs.
    const LONGEST: u64 = 1 << 20;
    const EXPECTED: &str = "a TOML file of settings";
    let metadata = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => missing(path, &[], EXPECTED),
        _ => Error::read(path, e),
    })?;
    if !metadata.is_file() {
        return Err(Error::input(path.display(), "this is not a regular file", EXPECTED));
    }
    if metadata.len() > LONGEST {
        let found = format!("the file has {} bytes", metadata.len());
        return Err(Error::input(path.display(), found, format!("{EXPECTED}, at most {LONGEST}")));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
    String::from_utf8(bytes).map_err(|_| Error::input(path.display(), "this is not UTF-8 text", EXPECTED))
}

/// The settings so far.
struct Settings {
    /// Every key with its default.
    known: Table,
    /// Every key with its value.
    table: Table,
    /// The same, typed.
    config: Config,
    /// Whether `optimizer.eps` was among the settings: its default depends on the optimiser.
    eps_given: bool,
}

impl Settings {
    fn new() -> Result<Self> {
        let config = Config::default();
        let known =
            Table::try_from(&config).map_err(|e| Error::Failed(format!("the default config is not TOML: {e}")))?;
        Ok(Self { table: known.clone(), known, config, eps_given: false })
    }

    /// Lays every setting of a text, but for those of the section `beside`.
    fn lay_text(&mut self, text: &str, name: &str, beside: Option<&str>) -> Result {
        let place = |offset: usize| {
            let line = 1 + text.bytes().take(offset).filter(|&b| b == b'\n').count();
            format!("{name}:{line}")
        };
        let syntax = |e: toml::de::Error| {
            let place = e.span().map_or(name.to_owned(), |span| place(span.start));
            Error::setting(place, one_line(e.message()), "TOML, as in `key = value` under `[section]`")
        };
        let spans = DeTable::parse(text).map_err(syntax)?;
        let values: Table = toml::from_str(text).map_err(syntax)?;
        for (key, spanned) in spans.get_ref() {
            let (key, at) = (key.get_ref().as_ref(), place(key.span().start));
            if Some(key) == beside {
                continue;
            }
            let Some(value) = values.get(key) else { continue };
            if !matches!(self.known.get(key), Some(Value::Table(_))) {
                self.lay(None, key, value.clone(), &at)?;
                continue;
            }
            let (Some(inner), Value::Table(section)) = (spanned.get_ref().as_table(), value) else {
                return Err(Error::setting(at, format!("{key} is {}", shown(value)), format!("a section, [{key}]")));
            };
            for inner_key in inner.keys() {
                let at = place(inner_key.span().start);
                let inner_key = inner_key.get_ref().as_ref();
                if let Some(value) = section.get(inner_key) {
                    self.lay(Some(key), inner_key, value.clone(), &at)?;
                }
            }
        }
        Ok(())
    }

    fn lay_override(&mut self, key: &str, text: &str) -> Result {
        let key = key.trim_start_matches('-');
        let place = format!("--{}", excerpt(key));
        let (section, key) = key.split_once('.').map_or((None, key), |(section, key)| (Some(section), key));
        let value = match self.default_of(section, key, &place)? {
            Value::String(_) => Value::String(text.to_owned()),
            // `200,200` is as good as `[200, 200]`.
            Value::Array(_) if !text.trim_start().starts_with('[') => {
                let items = text.split(',').map(|item| item.trim().parse().map(Value::Integer));
                items.collect::<Result<Vec<_>, _>>().map_or_else(|_| Value::String(text.to_owned()), Value::Array)
            }
            _ => toml::from_str::<Table>(&format!("value = {text}"))
                .ok()
                // Text with a line break could bring keys of its own.
                .filter(|table| table.len() == 1)
                .and_then(|mut table| table.remove("value"))
                .or_else(|| text.parse().ok().map(Value::Float))
                .unwrap_or_else(|| Value::String(text.to_owned())),
        };
        self.lay(section, key, value, &place)
    }

    /// Sets one key, after its name and type, and the value as part of the whole.
    fn lay(&mut self, section: Option<&str>, key: &str, value: Value, place: &str) -> Result {
        let full = section.map_or(key.to_owned(), |section| format!("{section}.{key}"));
        self.eps_given |= full == "optimizer.eps";
        // An override's place names the key already.
        let place =
            if place == format!("--{full}") { place.to_owned() } else { format!("{place}: {}", excerpt(&full)) };
        let default = self.default_of(section, key, &place)?;
        let value = match (default, value) {
            (Value::Float(_), Value::Integer(v)) => Value::Float(v as f64),
            (Value::Integer(_), Value::Integer(v)) if v < 0 => {
                return Err(Error::setting(place, v.to_string(), "a whole number, at least 0"));
            }
            (default, value) if default.same_type(&value) => value,
            (default, value) => {
                let expected = match default {
                    Value::Integer(_) => "a whole number",
                    Value::Float(_) => "a number",
                    Value::Boolean(_) => "true or false",
                    Value::Array(_) => "a list of whole numbers, as in [200, 200]",
                    _ => "a string",
                };
                return Err(Error::setting(place, shown(&value), expected));
            }
        };
        let table = match section {
            Some(section) => self.table.get_mut(section).and_then(Value::as_table_mut),
            None => Some(&mut self.table),
        };
        if let Some(table) = table {
            table.insert(key.to_owned(), value);
        }
        self.config = Config::deserialize(self.table.clone())
            .map_err(|e| Error::setting(place, one_line(e.message()), "a valid value"))?;
        Ok(())
    }

    /// The default of a key; an error with the nearest key where there is none.
    fn default_of(&self, section: Option<&str>, key: &str, place: &str) -> Result<&Value> {
        let unknown = |what: &str, name: &str, there: String, nearest: Option<String>| {
            let found = format!("unknown {what} `{}`", excerpt(name));
            Err(Error::Setting { place: place.to_owned(), found, expected: there, nearest })
        };
        let list = |table: &Table, sections: bool| {
            let names = table.iter().filter(|(_, v)| v.is_table() == sections).map(|(name, _)| name.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        let (table, of) = match section {
            None => (&self.known, "one of the keys ".to_owned()),
            Some(section) => match self.known.get(section) {
                Some(Value::Table(table)) => (table, format!("one of the keys of [{section}]: ")),
                _ => {
                    let names = self.known.iter().filter(|(_, v)| v.is_table()).map(|(name, _)| name.as_str());
                    let nearest = nearest(section, names).map(str::to_owned);
                    return unknown("section", section, format!("one of: {}", list(&self.known, true)), nearest);
                }
            },
        };
        match table.get(key) {
            Some(value) if !value.is_table() => return Ok(value),
            Some(_) => {
                return Err(Error::setting(place, format!("{key} is a section"), format!("a key of it, {key}.…")));
            }
            None => {}
        }
        let mut there = format!("{of}{}", list(table, false));
        if section.is_none() {
            there += &format!(" or a section {}", list(table, true));
        }
        // A misspelling here, else the same key elsewhere, else a misspelling elsewhere.
        let near = nearest(key, table.keys().map(String::as_str)).map(|near| match section {
            Some(section) => format!("{section}.{near}"),
            None => near.to_owned(),
        });
        unknown("key", key, there, near.or_else(|| self.elsewhere(key)))
    }

    fn elsewhere(&self, key: &str) -> Option<String> {
        let keys: Vec<String> = self
            .known
            .iter()
            .flat_map(|(name, value)| match value {
                Value::Table(section) => section.keys().map(|key| format!("{name}.{key}")).collect(),
                _ => vec![name.clone()],
            })
            .collect();
        let last = |full: &str| full.rsplit('.').next().is_some_and(|last| last == key);
        if let Some(same) = keys.iter().find(|full| last(full)) {
            return Some(same.clone());
        }
        let near = nearest(key, keys.iter().filter_map(|full| full.rsplit('.').next()))?;
        keys.iter().find(|full| full.rsplit('.').next() == Some(near)).cloned()
    }
}

/// A value for messages.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("the string `{}`", excerpt(text)),
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) => "an array".to_owned(),
        other => excerpt(&other.to_string()),
    }
}

#[cfg(test)]
mod tests;
