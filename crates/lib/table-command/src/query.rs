//! `-q`, `-d` and `-s`.

use bstr::{BStr, BString, ByteSlice as _};
use postern_command::json_string;
use postern_config::Config;
use postern_dict::{OpenMode, Table};
use postern_maillog::fatal;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use crate::input::Input;
use crate::message::Message;
use crate::{Dialect, Options, found, give_up, open};

/// Removes keys.
pub(crate) fn delete(config: &Config, options: &Options, key: &BStr) -> ExitCode {
    let mut tables: Vec<Box<dyn Table>> = options
        .operands
        .iter()
        .map(|operand| open(config, operand, OpenMode::ReadWrite, options))
        .collect();
    if key != "-" {
        return found(remove(&mut tables, key));
    }
    for table in &mut tables {
        table.gather();
    }
    let mut any = false;
    let mut input = Input::new(io::stdin());
    while let Some(keys) = next_lines(&mut input, || flush(&mut tables)) {
        for key in keys {
            any |= remove(&mut tables, key);
        }
    }
    flush(&mut tables);
    found(any)
}

/// Removes a key from all tables; whether one of them had it.
fn remove(tables: &mut [Box<dyn Table>], key: &BStr) -> bool {
    let mut any = false;
    for table in tables {
        match table.delete(key) {
            Ok(removed) => any |= removed,
            Err(error) => give_up(table.name(), "delete", &error),
        }
    }
    any
}

/// Has changes written that were kept back.
fn flush(tables: &mut [Box<dyn Table>]) {
    for table in tables {
        if let Err(error) = table.flush() {
            give_up(table.name(), "delete", &error);
        }
    }
}

/// Calls `work` for each line of standard input.
fn each_line(work: &mut dyn FnMut(&BStr)) {
    let mut input = Input::new(io::stdin());
    while let Some(lines) = next_lines(&mut input, || ()) {
        lines.iter().for_each(|line| work(line));
    }
}

/// The next lines; `None` at the end.
fn next_lines(input: &mut Input<io::Stdin>, pause: impl FnMut()) -> Option<Vec<&BStr>> {
    let lines = input
        .next(pause)
        .unwrap_or_else(|error| fatal!("read stdin: {}", postern_sys::error_text(&error)));
    (!lines.is_empty()).then_some(lines)
}

/// Tables that are opened when they are first needed.
struct Lazy<'a> {
    config: &'a Config,
    options: &'a Options,
    open: Vec<Box<dyn Table>>,
}

impl<'a> Lazy<'a> {
    fn new(config: &'a Config, options: &'a Options) -> Self {
        Self {
            config,
            options,
            open: Vec::new(),
        }
    }

    /// Answers keys in their order; whether any is there.
    fn answer_all(&mut self, keys: &[&BStr], output: &mut Output) -> bool {
        let [operand] = self.options.operands.as_slice() else {
            return keys
                .iter()
                .fold(false, |any, key| any | self.answer(key, output));
        };
        let mut any = false;
        let Some(table) = self.table(0) else {
            return false;
        };
        let result = table.lookup_all(keys, &mut |key, value| {
            if let Some(value) = value {
                if value.is_empty() {
                    warn_empty(operand, key);
                }
                output.pair(key, value);
                any = true;
            }
            Ok(())
        });
        if let Err(error) = result {
            give_up(table.name(), "query", &error);
        }
        any
    }

    /// The table of an operand, which may have to be opened, as those before it were.
    fn table(&mut self, index: usize) -> Option<&mut dyn Table> {
        if self.open.len() <= index {
            let operand = self.options.operands.get(index)?;
            let table = open(self.config, operand, OpenMode::Read, self.options);
            self.open.push(table);
        }
        self.open.get_mut(index).map(|table| &mut **table as _)
    }

    /// Writes the key and its value, if any; whether there is one.
    fn answer(&mut self, key: &BStr, output: &mut Output) -> bool {
        let value = self.find(key);
        if let Some(value) = &value {
            output.pair(key, value.as_bstr());
        }
        value.is_some()
    }

    /// The value of the first table that has the key.
    fn find(&mut self, key: &BStr) -> Option<BString> {
        for (index, operand) in self.options.operands.iter().enumerate() {
            let table = self.table(index)?;
            match table.lookup(key) {
                Ok(None) => {}
                Ok(Some(value)) => {
                    if value.is_empty() {
                        warn_empty(operand, key);
                    }
                    return Some(value);
                }
                Err(error) => give_up(table.name(), "query", &error),
            }
        }
        None
    }
}

/// Looks keys up.
pub(crate) fn query<D: Dialect>(config: &Config, options: &Options, key: &BStr) -> ExitCode {
    let mut tables = Lazy::new(config, options);
    let mut output = Output::new::<D>(options.json);
    if key != "-" {
        let value = tables.find(key);
        if let Some(value) = &value {
            output.answer(key, value.as_bstr());
        }
        output.end();
        return found(value.is_some());
    }
    let mut any = false;
    if options.headers || options.body {
        let mut ask = |key: &BStr| any |= tables.answer(key, &mut output);
        let mut message = Message::new(options, &mut ask);
        each_line(&mut |line| message.line(line));
        message.finish();
    } else {
        let mut input = Input::new(io::stdin());
        while let Some(keys) = next_lines(&mut input, || output.end()) {
            any |= tables.answer_all(&keys, &mut output);
        }
    }
    output.end();
    found(any)
}

/// Complains of an empty value in a table, which is called as the user has called it.
fn warn_empty(operand: impl std::fmt::Display, key: &BStr) {
    log::warn!("table {operand}: key {key}: empty string result is not allowed");
    log::warn!("table {operand} should return NO RESULT in case of NOT FOUND");
}

/// Prints the first table whole.
pub(crate) fn list<D: Dialect>(config: &Config, options: &Options) -> ExitCode {
    let Some(operand) = options.operands.first() else {
        return ExitCode::FAILURE;
    };
    let mut table = open(config, operand, OpenMode::Read, options);
    let mut output = Output::new::<D>(options.json);
    let mut restart = true;
    loop {
        match table.sequence(restart) {
            Ok(Some((key, value))) => {
                if key.is_empty() {
                    log::warn!("table {operand}: empty lookup key value is not allowed");
                } else if value.is_empty() {
                    warn_empty(operand, BStr::new(&key));
                }
                let value = options.shown(table.name(), BStr::new(&key), value);
                output.pair(BStr::new(&key), BStr::new(&value));
            }
            Ok(None) => break,
            Err(error) => {
                output.end();
                give_up(table.name(), "sequence", &error)
            }
        }
        restart = false;
    }
    output.end();
    ExitCode::SUCCESS
}

impl Options {
    /// A listed value; with `-F` its decoded content.
    fn shown(&self, table: &str, key: &BStr, value: BString) -> BString {
        if !self.flags.contains(postern_dict::Flags::SRC_RHS_IS_FILE) {
            return value;
        }
        match postern_dict::decode_base64(table, key, BStr::new(&value)) {
            Ok(content) => content,
            Err(error) => give_up(table, "sequence", &error),
        }
    }
}

/// Standard output, buffered.
struct Output {
    out: BufWriter<File>,
    separator: &'static str,
    json: bool,
}

impl Output {
    fn new<D: Dialect>(json: bool) -> Self {
        let out = io::stdout().as_fd().try_clone_to_owned();
        let out = out.unwrap_or_else(|error| {
            fatal!("write error: {}", postern_sys::error_text(&error));
        });
        Self {
            // Past the standard library's own buffer, which looks for the last newline of all that it gets.
            out: BufWriter::with_capacity(64 * 1024, File::from(out)),
            separator: D::SEPARATOR,
            json,
        }
    }

    fn check(result: io::Result<()>) {
        if let Err(error) = result {
            postern_command::output_failed("write error", &error);
        }
    }

    /// The answer to one key: the value alone.
    fn answer(&mut self, key: &BStr, value: &BStr) {
        if self.json {
            return self.pair(key, value);
        }
        Self::check(
            self.out
                .write_all(value)
                .and_then(|()| self.out.write_all(b"\n")),
        );
    }

    fn pair(&mut self, key: &BStr, value: &BStr) {
        if self.json {
            let mut line = Vec::with_capacity(key.len() + value.len() + 8);
            line.push(b'{');
            line.extend_from_slice(json_string(key).as_bytes());
            line.extend_from_slice(b": ");
            line.extend_from_slice(json_string(value).as_bytes());
            line.push(b'}');
            return Self::check(
                self.out
                    .write_all(&line)
                    .and_then(|()| self.out.write_all(b"\n")),
            );
        }
        let parts: [&[u8]; 4] = [key, self.separator.as_bytes(), value, b"\n"];
        for part in parts {
            Self::check(self.out.write_all(part));
        }
    }

    fn end(&mut self) {
        Self::check(self.out.flush());
    }
}
