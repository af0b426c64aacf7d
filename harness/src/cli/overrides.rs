//! `--section.key value` and `--section.key=value`: config keys among the arguments of a command that trains.

use std::ffi::OsString;

use clap::CommandFactory;

use super::args::{Cli, Settings};
use crate::error::{Error, Result, excerpt, nearest};

/// The commands that take config keys.
const CONFIGURED: [&str; 3] = ["train", "stack", "sweep"];

/// Keys and their values, in the order given.
pub(super) type Overrides = Vec<(String, String)>;

impl Settings {
    /// All that the command line says of settings, in the order in which it is laid over the file: `overrides` come last.
    pub(super) fn pairs(&self, overrides: Overrides) -> Overrides {
        let named =
            [("data.source", &self.data), ("backend", &self.backend), ("threads", &self.threads), ("seed", &self.seed)];
        let named = named.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
        named.chain(overrides).collect()
    }
}

/// Takes the config keys out of the arguments of a command that has such; clap gets the rest.
///
/// A key is every long option that the command itself does not have, so that an unknown one is answered with the nearest
/// key there is.
///
/// # Errors
/// [`Error::Setting`] for a key without a value.
pub(super) fn split(args: Vec<OsString>) -> Result<(Vec<OsString>, Overrides)> {
    let mut rest = Vec::with_capacity(args.len());
    let mut overrides = Vec::new();
    let mut args = args.into_iter();
    rest.extend(args.next());
    let command = args.next();
    let name = command.as_ref().and_then(|word| CONFIGURED.into_iter().find(|name| word == name));
    rest.extend(command);
    let Some(command_name) = name else {
        rest.extend(args);
        return Ok((rest, overrides));
    };
    let cli = Cli::command();
    let known: Vec<&str> = match cli.find_subcommand(command_name) {
        Some(command) => command.get_arguments().filter_map(clap::Arg::get_long).chain(["help", "version"]).collect(),
        None => Vec::new(),
    };
    while let Some(arg) = args.next() {
        let option = arg.to_str().and_then(|text| text.strip_prefix("--")).filter(|option| !option.is_empty());
        let Some((name, value)) = option.map(|o| o.split_once('=').map_or((o, None), |(k, v)| (k, Some(v)))) else {
            rest.push(arg);
            continue;
        };
        if known.contains(&name) {
            rest.push(arg);
            continue;
        }
        if let Some(option) = nearest(name, known.iter().copied()).filter(|_| !name.contains('.')) {
            return Err(Error::Setting {
                place: format!("--{}", excerpt(name)),
                found: "unknown option".to_owned(),
                expected: format!("an option of sae {command_name}, or a config key as --section.key VALUE"),
                nearest: Some(format!("--{option}")),
            });
        }
        let name = name.to_owned();
        let value = match value {
            Some(value) => value.to_owned(),
            None => match args.next() {
                Some(value) if !value.to_string_lossy().starts_with("--") => value.to_string_lossy().into_owned(),
                _ => {
                    return Err(Error::setting(
                        format!("--{}", excerpt(&name)),
                        "there is no value",
                        "a value after the key",
                    ));
                }
            },
        };
        overrides.push((name, value));
    }
    Ok((rest, overrides))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_words(line: &str) -> Result<(String, Overrides)> {
        let (rest, overrides) = split(line.split(' ').map(OsString::from).collect())?;
        let words: Vec<String> = rest.into_iter().map(|w| w.into_string().unwrap()).collect();
        Ok((words.join(" "), overrides))
    }

    #[test]
    fn keys_are_taken_out_wherever_they_stand_and_options_stay() {
        let line = "sae train --model.d_hid 64 --data x.y --loss.weight_decay=1e-3 --out=a.b --json --optimizer.lr -1 --epochs 5";
        let (rest, overrides) = split_words(line).unwrap();
        assert_eq!(rest, "sae train --data x.y --out=a.b --json");
        let expected = [("model.d_hid", "64"), ("loss.weight_decay", "1e-3"), ("optimizer.lr", "-1"), ("epochs", "5")];
        assert_eq!(overrides, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn other_commands_are_left_alone() {
        assert_eq!(
            split_words("sae eval m --model.d_hid 64").unwrap(),
            ("sae eval m --model.d_hid 64".to_owned(), vec![])
        );
        assert_eq!(split_words("sae").unwrap().0, "sae");
    }

    #[test]
    fn a_misspelt_option_is_answered_with_its_nearest() {
        let error = split_words("sae train --quite").unwrap_err();
        assert!(error.to_string().contains("unknown option") && error.to_string().contains("`--quiet`"), "{error}");
    }

    #[test]
    fn a_key_without_a_value_is_an_error() {
        for line in ["sae train --model.d_hid", "sae train --model.d_hid --json"] {
            assert_eq!(split_words(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
