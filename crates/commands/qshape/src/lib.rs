//! qshape: shows which domains the mail in the queue is for, and how old it is. Manual page:
//! qshape(1). Reads queue files without locks, so it sees each as of some moment.
#![forbid(unsafe_code)]

mod message;
mod options;
mod shape;
mod walk;

use crate::options::Options;
use crate::shape::Shape;
use postern_config::params;
use postern_maillog::fatal;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Clears a terminal and puts the cursor at the top.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

/// Runs the program.
pub fn main() -> ExitCode {
    let name = std::env::args_os()
        .next()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    postern_command::begin_without_log(&name);
    let Ok(options) = options::read(&name) else {
        return ExitCode::from(255);
    };
    let queues = directories(&options);
    let mut shape = Shape::new(&options);
    let terminal = std::io::stdout().is_terminal();
    let mut files = 0;
    for queue in &queues {
        walk::files(queue, &mut |path| {
            if let Some(message) = message::read(path, options.by_sender) {
                shape.add(&message);
            }
            files += 1;
            if terminal && !options.json && files % options.batch == 0 {
                show(&shape, &options, true);
            }
        });
    }
    if options.json {
        postern_command::print_or_die(&shape.json());
    } else {
        show(&shape, &options, terminal);
    }
    ExitCode::SUCCESS
}

/// The queue directories; main.cf is read only when it is needed.
fn directories(options: &Options) -> Vec<PathBuf> {
    let named: Vec<&Path> = options.queues.iter().map(Path::new).collect();
    if named.iter().all(|queue| queue.is_absolute()) {
        return named.iter().map(|queue| queue.to_path_buf()).collect();
    }
    let config = postern_command::load_config(options.config.as_deref().map(Path::new));
    let root = config.get(params::QUEUE_DIRECTORY);
    if let Err(error) = std::env::set_current_dir(&root) {
        fatal!("chdir {root}: {}", postern_sys::error_text(&error));
    }
    named.iter().map(|queue| queue.to_path_buf()).collect()
}

fn show(shape: &Shape, options: &Options, terminal: bool) {
    let (start, most) = if terminal {
        (CLEAR, options.top)
    } else {
        ("", usize::MAX)
    };
    let text = shape.table(options.width, most);
    let mut out = std::io::stdout().lock();
    // A reader who has seen enough closes the pipe.
    let _ = out
        .write_all(start.as_bytes())
        .and_then(|()| out.write_all(text.as_bytes()));
    let _ = out.flush();
}
