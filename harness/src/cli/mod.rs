//! The `sae` command: arguments in, one result on stdout, everything said to a person on stderr.
//!
//! Exit codes: 0 done, 2 bad usage or bad input, 1 failed, 130 and 143 ended by a signal. An error is one line.

mod args;
mod bench;
mod encode;
mod eval;
mod experiments;
mod finish;
mod info;
mod interrupt;
mod manual;
mod measures;
mod output;
mod overrides;
mod progress;
mod prune;
mod report;
mod run_dir;
mod stack;
mod sweep;
mod system;
mod table;
mod train;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::error::{Error, Result, nearest, one_line};
use args::{Cli, Command};

/// Runs the command that `args` (the program's name first) spell out.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (args, overrides) = match overrides::split(args.into_iter().collect()) {
        Ok(parts) => parts,
        Err(error) => return fail(&error),
    };
    match Cli::try_parse_from(args) {
        Ok(cli) => match dispatch(cli.command, overrides) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        Err(error) => usage(&error),
    }
}

fn dispatch(command: Command, overrides: overrides::Overrides) -> Result {
    system::check_isa()?;
    match command {
        Command::Train(args) => train::run(args, overrides),
        Command::Sweep(args) => sweep::run(args, overrides),
        Command::Eval(args) => eval::run(args),
        Command::Encode(args) => encode::run(args),
        Command::Prune(args) => prune::run(args),
        Command::Stack(args) => stack::run(args, overrides),
        Command::Bench(args) => bench::run(args),
        Command::Report(args) => report::run(args),
        Command::Experiments(args) => experiments::run(args),
        Command::Info(args) => info::run(args),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args),
        Command::Other(words) => Err(unknown_command(&words)),
    }
}

fn unknown_command(words: &[OsString]) -> Error {
    let name = words.first().map_or(String::new(), |word| one_line(&word.to_string_lossy()));
    let command = Cli::command();
    let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
    Error::Setting {
        place: "sae".to_owned(),
        found: format!("unknown command `{name}`"),
        expected: format!("one of: {}", names.join(", ")),
        nearest: nearest(&name, names.iter().copied()).map(str::to_owned),
    }
}

fn fail(error: &Error) -> ExitCode {
    let kind = if matches!(error, Error::Interrupted { .. }) { "" } else { "error: " };
    output::say(&format!("{kind}{}", one_line(&error.to_string())));
    ExitCode::from(error.exit_code())
}

/// Help and version as clap prints them; its errors as one line.
fn usage(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match output::print(&error.to_string()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error),
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            output::say(error.to_string().trim_end());
            ExitCode::from(2)
        }
        _ => {
            let text = error.to_string();
            let told = text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:"));
            let told: Vec<&str> = told.filter(|line| !line.is_empty() && !line.starts_with("For more")).collect();
            output::say(&one_line(&told.join("; ").replace(":;", ":")));
            ExitCode::from(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    /// What the indented lines of a command's help list, as `section.key`; what is in parentheses is said of a key.
    fn listed(command: &str) -> Vec<String> {
        let cli = Cli::command();
        let help = cli.find_subcommand(command).unwrap().get_after_help().unwrap().to_string();
        let (before, _) = help.split_once("Example:").unwrap();
        let lines: Vec<&str> = before.lines().filter(|line| line.starts_with("  ")).collect();
        let text: String = lines.join(" ").split('(').map(|part| part.split_once(')').map_or(part, |p| p.1)).collect();
        let mut section = "";
        let mut keys = Vec::new();
        for word in text.split([' ', ',']).filter(|word| !word.is_empty()) {
            if word.ends_with('.') {
                section = word;
            } else {
                keys.push(format!("{section}{word}"));
            }
        }
        keys.sort();
        keys
    }

    #[test]
    fn the_help_names_every_key_of_the_configuration() {
        let mut expected = [vec![], vec![]];
        for (key, value) in crate::config::Config::default().to_toml().unwrap().parse::<toml::Table>().unwrap() {
            match value {
                toml::Value::Table(section) => {
                    let of_stack = usize::from(key == "stack");
                    expected[of_stack].extend(section.keys().map(|inner| format!("{key}.{inner}")));
                }
                _ => expected[0].push(key),
            }
        }
        expected.iter_mut().for_each(|keys| keys.sort());
        assert_eq!([listed("train"), listed("stack")], expected);
    }

    #[test]
    fn an_unknown_command_is_answered_with_its_nearest() {
        assert!(unknown_command(&["trian".into()]).to_string().contains("did you mean `train`?"));
    }
}
