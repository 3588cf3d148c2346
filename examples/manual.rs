//! Writes the manual pages and the completions of shells into a folder, from the command line as clap knows it:
//! `cargo run --example manual -- target/manual`. `make packages` puts them into the packages. It is an example
//! so that the program itself carries none of it.

use clap_complete::Shell;
use gramwatt::cli::Cli;
use std::io;
use std::path::Path;

/// Fills `folder`: gramwatt.1, one page for each command, and a file for each shell.
///
/// # Errors
/// What the file system says.
pub fn write(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "gramwatt", folder)?;
    }
    // `gramwatt help once` says what gramwatt-once(1) says: no page for it.
    clap_mangen::generate_to(Cli::command().disable_help_subcommand(true), folder)
}

#[allow(dead_code)] // The tests take the function alone.
fn main() -> io::Result<()> {
    match std::env::args_os().nth(1) {
        Some(folder) => write(Path::new(&folder)),
        None => Err(io::Error::other("give the folder to write to")),
    }
}
