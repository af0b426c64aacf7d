//! A sweep's settings: those of a run, and `[sweep]` beside them.
//!
//! ```toml
//! [train]
//! epochs = 100
//!
//! [sweep]
//! search = "grid"     # or "random", with runs = 20
//! together = 16       # the most runs that are trained together
//! [sweep.keys]
//! sparsity.beta = [0.1, 0.3, 1, 3]
//! loss.weight_decay = { from = 1e-5, to = 1e-3, scale = "log", steps = 5 }
//! ```

use std::path::Path;

use toml::{Table, Value};

use super::space::{Search, Space};
use crate::config::Config;
use crate::error::{Error, Result, nearest, one_line};

/// The settings in a sweep's folder, as resolved.
pub const SETTINGS_FILE: &str = "sweep.toml";
/// The section.
const SECTION: &str = "sweep";
/// The most runs that are trained together where nothing else is said.
const TOGETHER: usize = 16;
/// Draws for each new run, after which there are taken to be no more.
const DRAWS: u64 = 200;

/// A sweep.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What the runs have in common.
    pub base: Config,
    /// How they are chosen.
    pub search: Search,
    /// The most that are trained together.
    pub together: usize,
    /// The keys in which they differ.
    pub keys: Vec<String>,
    /// The runs.
    pub runs: Vec<Planned>,
    /// `[sweep]` as it was given.
    section: Table,
}

/// A run of a sweep.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// What [`Sweep::keys`] are set to.
    pub values: Vec<String>,
    /// All settings.
    pub config: Config,
}

impl Sweep {
    /// The sweep of the file at `path`, `overrides` laid over what its runs have in common.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the place; [`Error::Missing`], [`Error::Read`].
    pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<Self> {
        Self::parse(&Config::read(path)?, &one_line(&path.to_string_lossy()), overrides)
    }

    /// The same from TOML `text`; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn parse(text: &str, name: &str, overrides: &[(String, String)]) -> Result<Self> {
        let base = Config::parse_beside(text, name, overrides, SECTION)?;
        let section = match toml::from_str::<Table>(text).ok().and_then(|mut all| all.remove(SECTION)) {
            Some(Value::Table(section)) => section,
            _ => {
                let expected = "[sweep.keys] with the keys to try, as in `sparsity.beta = [0.1, 1, 3]`";
                return Err(Error::setting(name, "there is no [sweep]", expected));
            }
        };
        const NAMES: [&str; 4] = ["search", "runs", "together", "keys"];
        if let Some(unknown) = section.keys().find(|key| !NAMES.contains(&key.as_str())) {
            return Err(Error::Setting {
                place: format!("{name}: [sweep]"),
                found: format!("unknown key `{unknown}`"),
                expected: format!("one of: {}", NAMES.join(", ")),
                nearest: nearest(unknown, NAMES).map(str::to_owned),
            });
        }
        let count = |key: &str| match section.get(key) {
            None => Ok(None),
            Some(Value::Integer(v)) if *v > 0 => Ok(Some(*v as usize)),
            Some(_) => {
                Err(Error::setting(format!("{name}: sweep.{key}"), "this is no such number", "a whole number from 1"))
            }
        };
        let kind = match section.get("search") {
            None => "grid",
            Some(Value::String(kind)) => kind,
            Some(_) => {
                return Err(Error::setting(
                    format!("{name}: sweep.search"),
                    "this is no text",
                    "\"grid\" or \"random\"",
                ));
            }
        };
        let search = Search::new(kind, count("runs")?, name)?;
        let together = count("together")?.unwrap_or(TOGETHER);
        let none = Table::new();
        let space = Space::parse(section.get("keys").and_then(Value::as_table).unwrap_or(&none), name)?;
        let keys: Vec<String> = space.keys().map(str::to_owned).collect();
        if keys.iter().any(|key| key == "threads") {
            let expected = "other keys: all runs have the threads of the sweep";
            return Err(Error::setting(format!("{name}: sweep.keys.threads"), "threads of their own", expected));
        }
        if let Some((key, _)) = overrides.iter().find(|(key, _)| keys.iter().any(|k| k == key.trim_start_matches('-')))
        {
            let place = format!("--{}", key.trim_start_matches('-'));
            return Err(Error::setting(place, "the sweep tries values of this key", "another key"));
        }
        let planned = |values: Vec<String>| -> Result<Planned> {
            let swept = keys.iter().cloned().zip(values.iter().cloned());
            let all: Vec<(String, String)> = overrides.iter().cloned().chain(swept).collect();
            let config = Config::parse_beside(text, name, &all, SECTION).map_err(|e| in_keys(e, &keys, name))?;
            Ok(Planned { values, config })
        };
        let runs = match search {
            Search::Grid => space.grid(name)?.into_iter().map(planned).collect::<Result<Vec<_>>>()?,
            Search::Random(count) => {
                let mut runs: Vec<Planned> = Vec::new();
                let (mut index, mut last) = (0, 0);
                while runs.len() < count {
                    if index - last > DRAWS {
                        let found = format!("{count} where no more than {} different ones were found", runs.len());
                        return Err(Error::setting(format!("{name}: sweep.runs"), found, "fewer, or more values"));
                    }
                    let run = planned(space.draw(base.seed, index))?;
                    index += 1;
                    if !runs.contains(&run) {
                        runs.push(run);
                        last = index;
                    }
                }
                runs
            }
        };
        Ok(Self { base, search, together, keys, runs, section })
    }

    /// The settings as TOML, every key of a run written out; [`Sweep::load`] reads them back unchanged.
    ///
    /// # Errors
    /// As [`Config::to_toml`].
    pub fn to_toml(&self) -> Result<String> {
        let section = Table::from_iter([(SECTION.to_owned(), Value::Table(self.section.clone()))]);
        let section = toml::to_string(&section)
            .map_err(|e| Error::Failed(format!("the sweep cannot be written as TOML: {e}")))?;
        Ok(format!("{}\n{section}", self.base.to_toml()?))
    }
}

/// An error of a swept key, which the file has named and not the command line.
fn in_keys(error: Error, keys: &[String], name: &str) -> Error {
    let swept = |place: &str| place.strip_prefix("--").filter(|key| keys.iter().any(|k| k == key)).map(str::to_owned);
    match error {
        Error::Setting { place, found, expected, nearest } => {
            let place = swept(&place).map_or(place, |key| format!("{name}: sweep.keys.{key}"));
            Error::Setting { place, found, expected, nearest }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[train]\nepochs = 3\n[sweep]\ntogether = 4\n[sweep.keys]\nsparsity.beta = [0.1, 3]\n\
                        model.d_hid = [16, 32]\n[loss]\nweight_decay = 1e-3\n";

    #[test]
    fn runs_have_the_common_settings_and_their_own() {
        let over = [("train.batch".to_owned(), "64".to_owned())];
        let sweep = Sweep::parse(TEXT, "sweep.toml", &over).unwrap();
        assert_eq!((sweep.keys.join(" "), sweep.together), ("model.d_hid sparsity.beta".to_owned(), 4));
        let found: Vec<_> = sweep.runs.iter().map(|r| (r.config.model.d_hid, r.config.sparsity.beta)).collect();
        assert_eq!(found, [(16, 0.1), (16, 3.0), (32, 0.1), (32, 3.0)]);
        for run in &sweep.runs {
            let Config { train, loss, .. } = &run.config;
            assert_eq!((train.epochs, train.batch, loss.weight_decay), (3, 64, 1e-3));
        }
        let again = Sweep::parse(&sweep.to_toml().unwrap(), "again", &[]).unwrap();
        assert_eq!((again.runs, again.base, again.search), (sweep.runs, sweep.base, sweep.search));
    }

    #[test]
    fn drawn_runs_are_different_and_the_same_again() {
        let text =
            |runs| format!("[sweep]\nsearch = 'random'\nruns = {runs}\n[sweep.keys]\nmodel.d_hid = [1, 2, 3, 4]\n");
        let four = Sweep::parse(&text(4), "s", &[]).unwrap();
        let mut widths: Vec<usize> = four.runs.iter().map(|run| run.config.model.d_hid).collect();
        assert_eq!(four.runs, Sweep::parse(&text(4), "s", &[]).unwrap().runs);
        widths.sort_unstable();
        assert_eq!(widths, [1, 2, 3, 4]);
        let error = Sweep::parse(&text(5), "s", &[]).unwrap_err();
        assert!(error.to_string().contains("no more than 4 different ones"), "{error}");
    }

    #[test]
    fn wrong_settings_are_errors_that_name_their_place() {
        for (text, said) in [
            ("[train]\nepochs = 3", "there is no [sweep]"),
            ("[sweep]", "there are no keys"),
            ("[sweep]\nkies.seed = [1]", "did you mean `keys`?"),
            ("[sweep]\nkeys.seed = [1]\ntogether = 0", "sweep.together"),
            ("[sweep]\nkeys.seed = [1]\nsearch = 3", "sweep.search"),
            ("[sweep]\nkeys.threads = [1, 2]", "sweep.keys.threads"),
            ("[sweep]\nkeys.sparsity.bata = [1]", "s: sweep.keys.sparsity.bata: unknown key"),
            ("[sweep]\nkeys.sparsity.bata = [1]", "did you mean `sparsity.beta`?"),
            ("[sweep]\nkeys.sparsity.rho = [0.1, 7]", "sparsity.rho: 7"),
            ("[train]\nepoch = 3\n[sweep]\nkeys.seed = [1]", "s:2"),
        ] {
            let error = Sweep::parse(text, "s", &[]).unwrap_err();
            assert!(error.to_string().contains(said) && error.is_usage(), "{text}: {error}");
        }
        let over = [("sparsity.beta".to_owned(), "1".to_owned())];
        assert!(Sweep::parse(TEXT, "s", &over).unwrap_err().to_string().contains("the sweep tries values of this key"));
    }
}
