//! `hookgate completions`: what a shell needs to complete commands, options and the names of presets.

use super::{Cli, Failure, print};
use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

/// What `--help` says at length.
pub(super) const LONG: &str = "\
Prints a script with which a shell completes commands and options (bash, zsh and fish their values, too, such as the names \
of presets). It belongs to this version: make it anew after an upgrade.";

const EXAMPLES: &str = "\
Examples:
  hookgate completions bash > ~/.local/share/bash-completion/completions/hookgate
  hookgate completions zsh > \"${fpath[1]}/_hookgate\"
  hookgate completions fish > ~/.config/fish/completions/hookgate.fish";

/// Options of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<(), Failure> {
    print(&script(args.shell))
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "hookgate", &mut script);
    String::from_utf8(script).expect("commands, options and their help are UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_shell_gets_every_command() {
        let cli = Cli::command();
        for shell in Shell::value_variants() {
            let script = script(*shell);
            for command in cli.get_subcommands() {
                let name = command.get_name();
                assert!(script.contains(name), "{shell}: {name}");
            }
        }
        // Elvish and PowerShell complete no values.
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            assert!(script(shell).contains("chatmefy"), "{shell}: the presets");
        }
    }
}
