//! The project's own commands: `cargo xtask run|test|install|man|deps|layers|parameters|fuzz|ci`.
#![forbid(unsafe_code)]

mod build;
mod ci;
mod deps;
mod fuzz;
mod install;
mod layers;
mod man;
mod parameters;
mod run;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  run [--once] [--release] [--port N]   build, start an instance, send mail through it, keep serving
  test [--strict] [CARGO TEST OPTIONS]  every test; --strict: a skipped peer is a failure
  install --root DIR [--debug]          lay out a Postfix-like tree below DIR
  man [DIR]                             make the manual pages, by default in target/man
  deps                                  install the peers that tests talk to (Debian packages)
  layers                                check that dependencies only point downwards
  parameters [--check]                  write, or check, the table of who obeys which parameter
  fuzz [SECONDS] [TARGET]               run the fuzz targets
  ci                                    what .ci/run does";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("", &[][..]),
    };
    let result = match command {
        "run" => run::run(rest),
        "test" => test::test(rest),
        "install" => install::install(rest),
        "deps" => deps::deps(),
        "layers" => layers::layers(),
        "man" => man::man(rest),
        "parameters" if rest.iter().any(|word| word == "--check") => parameters::check(),
        "parameters" => parameters::write(),
        "fuzz" => fuzz::fuzz(rest),
        "ci" => ci::ci(),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("{text}");
            ExitCode::FAILURE
        }
    }
}
