//! `sae completions` and `sae man`: what the arguments say of themselves, for shells and for `man`.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::{Cli, CompletionsArgs, ManArgs};
use super::output;
use crate::error::{Error, Result, nearest, one_line};

pub(super) fn completions(args: &CompletionsArgs) -> Result {
    const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];
    let shell: Shell = args.shell.parse().map_err(|_| Error::Setting {
        place: "sae completions".to_owned(),
        found: format!("unknown shell `{}`", one_line(&args.shell)),
        expected: format!("one of: {}", SHELLS.join(", ")),
        nearest: nearest(&args.shell, SHELLS).map(str::to_owned),
    })?;
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sae", &mut text);
    output::print(&String::from_utf8_lossy(&text))
}

pub(super) fn man(args: &ManArgs) -> Result {
    let mut command = Cli::command();
    command.build();
    let page = match &args.command {
        None => command,
        Some(name) => command.get_subcommands().find(|sub| sub.get_name() == name).cloned().ok_or_else(|| {
            let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            Error::Setting {
                place: "sae man".to_owned(),
                found: format!("unknown command `{}`", one_line(name)),
                expected: format!("one of: {}", names.join(", ")),
                nearest: nearest(name, names.iter().copied()).map(str::to_owned),
            }
        })?,
    };
    let mut text = Vec::new();
    render(page, &mut text).map_err(|e| Error::Failed(format!("the manual page cannot be made: {e}")))?;
    output::print(&String::from_utf8_lossy(&text))
}

fn render(page: clap::Command, text: &mut Vec<u8>) -> io::Result<()> {
    clap_mangen::Man::new(page).render(text)
}
