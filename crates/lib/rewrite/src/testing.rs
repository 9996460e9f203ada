//! What the tests of this crate share.

use std::sync::Mutex;

use bstr::BString;
use postern_config::Config;

/// The configuration that `observed.tsv` files were made with, and what a case adds.
pub(crate) fn config(text: &str) -> Config {
    let base = "myhostname = mx.example.test\nmydomain = example.test\nmyorigin = example.test\n\
        mydestination = example.test, mx.example.test, localhost\ninet_interfaces = 127.0.0.1\n\
        mynetworks = 127.0.0.0/8\ncompatibility_level = 3.6\nalias_maps =\nalias_database =\n";
    Config::from_text(&format!("{base}{text}\n")).unwrap()
}

/// Undoes `\xNN` and `\\`.
pub(crate) fn unescape(text: &str) -> BString {
    let mut out = BString::default();
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match (byte, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = String::from_utf8(vec![*high, *low]).unwrap();
                out.push(u8::from_str_radix(&digits, 16).unwrap());
                rest = tail;
            }
            (b'\\', [_, tail @ ..]) => {
                out.push(b'\\');
                rest = tail;
            }
            _ => out.push(byte),
        }
    }
    out
}

/// Log lines of this process, by thread.
static LINES: Mutex<Vec<(std::thread::ThreadId, String)>> = Mutex::new(Vec::new());

struct Recorder;

impl log::Log for Recorder {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &log::Record<'_>) {
        let prefix = match record.level() {
            log::Level::Error => "error: ",
            log::Level::Warn => "warning: ",
            _ => "",
        };
        LINES.lock().unwrap().push((
            std::thread::current().id(),
            format!("{prefix}{}", record.args()),
        ));
    }
    fn flush(&self) {}
}

/// Log lines that `action` causes.
pub(crate) fn logged(action: impl FnOnce()) -> Vec<String> {
    let _ = log::set_logger(&Recorder);
    log::set_max_level(log::LevelFilter::Info);
    let this = std::thread::current().id();
    LINES.lock().unwrap().retain(|(thread, _)| *thread != this);
    action();
    let lines = LINES.lock().unwrap();
    lines
        .iter()
        .filter(|(thread, _)| *thread == this)
        .map(|(_, line)| line.clone())
        .collect()
}
