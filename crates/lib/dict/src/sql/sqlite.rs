//! `sqlite`: tables in SQLite databases. Manual page: sqlite_table(5).
//!
//! The file is opened with the table, before a daemon enters its jail, and only for reading. Another file of
//! the same name takes its place, where the process may open that.

use bstr::{BStr, BString, ByteSlice};
use postern_config::Config;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;
use rusqlite::{Batch, Connection, OpenFlags, Row};
use std::path::Path;
use std::time::{Duration, Instant};

use super::watch::{Change, Watch};
use super::{Cell, Client, Manner, SqlTable, query_text};
use crate::client_config::ClientConfig;
use crate::expansion::Template;
use crate::{Flags, LookupError, OpenError, OpenMode, Table};

/// Waiting for a writer to finish.
const LOCK_LIMIT: Duration = Duration::from_secs(5);
/// Running a query.
const QUERY_LIMIT: Duration = Duration::from_secs(30);
/// Steps of SQLite's machine between two looks at the clock.
const STEPS: i32 = 10_000;
/// Bytes of one answer.
const LARGEST_ANSWER: usize = 1 << 30;

struct Sqlite {
    /// `type:name`.
    name: String,
    /// The name without type, for messages.
    source: String,
    database: Connection,
    watch: Watch,
}

/// Opens `sqlite:name`.
pub(crate) fn open(
    config: &Config,
    name: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    crate::simple::read_only("sqlite", name, mode)?;
    let file = ClientConfig::open(config, name)?;
    let path = file.required("dbpath")?;
    let query = query_text(&file)?;
    let has_new_texts = config.look().message_texts();
    if has_new_texts && let Some(piece) = unquoted_piece(BStr::new(&query)) {
        log::warn!(
            "sqlite:{name}: query >{query}< contains >{piece}< without the recommended '' quotes"
        );
    }
    let watch = Watch::new(&path);
    let client = Sqlite {
        name: format!("sqlite:{name}"),
        source: name.to_owned(),
        watch,
        database: open_file(Path::new(&path)).map_err(|why| {
            OpenError(if has_new_texts {
                format!("sqlite:{name}: open database {path}: {why}")
            } else {
                format!("sqlite:{name}: Can't open database: {why}\n")
            })
        })?,
    };
    let manner = Manner {
        kind: "sqlite",
        warns_of_null: false,
        limit_colon: "",
        names_domain: false,
    };
    let (client, query) = (Box::new(client), BStr::new(&query));
    let table = SqlTable::open(config, &file, (name, flags, manner), client, query)?;
    Ok(Box::new(table))
}

fn open_file(path: &Path) -> Result<Connection, String> {
    if path.is_dir() {
        // Opened for reading only, a directory looks like a file that cannot be read.
        return Err("unable to open database file".to_owned());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(|error| text(&error))?;
    database
        .busy_timeout(LOCK_LIMIT)
        .map_err(|error| text(&error))?;
    Ok(database)
}

/// SQLite's own words.
fn text(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(code, None) => code.to_string(),
        rusqlite::Error::SqliteFailure(_, Some(text)) => {
            // The path is added by the driver where SQLite does not know it.
            text.split(": /").next().unwrap_or(text).to_owned()
        }
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
}

/// The first `%` expansion that is not inside a literal.
fn unquoted_piece(query: &BStr) -> Option<String> {
    let mut is_inside = false;
    let mut bytes = query.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\'' => is_inside = !is_inside,
            b'%' => {
                let code = bytes.next()?;
                if code != b'%' && !is_inside {
                    return Some(format!("%{}", char::from(code)));
                }
            }
            _ => {}
        }
    }
    None
}

/// Doubles the quotes.
fn quote(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if byte == b'\'' {
            out.push(byte);
        }
        out.push(byte);
    }
}

impl Sqlite {
    /// A query that SQLite does not understand: Postfix's programs end here.
    fn bad_query(&self, error: &rusqlite::Error) -> LookupError {
        let source = &self.source;
        let why = text(error);
        let what = format!("dict_sqlite_lookup: {source}: SQL prepare failed: {why}\n");
        match error.sqlite_error_code() {
            // Not the query's fault.
            Some(
                rusqlite::ErrorCode::DatabaseBusy
                | rusqlite::ErrorCode::DatabaseLocked
                | rusqlite::ErrorCode::CannotOpen
                | rusqlite::ErrorCode::SystemIoFailure
                | rusqlite::ErrorCode::OutOfMemory
                | rusqlite::ErrorCode::SchemaChanged,
            ) => {
                log::warn!("{what}");
                LookupError::retry(self.name.clone(), why)
            }
            _ => LookupError::fatal(self.name.clone(), what),
        }
    }

    fn failed(&self, query: &str, why: &str) -> LookupError {
        let source = &self.source;
        log::warn!("dict_sqlite_lookup: {source}: SQL step failed for query '{query}': {why}\n");
        LookupError::retry(self.name.clone(), why)
    }

    /// The first column as text.
    fn column(&self, row: &Row<'_>) -> rusqlite::Result<Cell> {
        Ok(match row.get_ref(0)? {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(BString::from(number.to_string())),
            // SQLite has its own way of writing these.
            ValueRef::Real(number) => Some(BString::from(self.database.query_row(
                "SELECT CAST(?1 AS TEXT)",
                [number],
                |row| row.get::<_, String>(0),
            )?)),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(BString::from(bytes)),
        })
    }

    /// Makes SQLite read again what it remembers of the file.
    fn forget(&self) {
        if let Err(error) = self.database.execute_batch("PRAGMA shrink_memory") {
            log::warn!("{}: {}", self.name, text(&error));
        }
    }

    /// Takes notice of a file that is not what it was.
    fn keep_up(&mut self) {
        match self.watch.look() {
            Change::None => {}
            Change::Content => self.forget(),
            Change::File => match open_file(self.watch.path()) {
                Ok(database) => {
                    self.database = database;
                    self.watch.reopened();
                }
                Err(why) => {
                    let (name, path) = (&self.name, self.watch.path().display());
                    log::warn!("{name}: open new database {path}: {why} -- using the old one");
                }
            },
        }
    }

    /// The first column of each row that the first statement of `sql` gives.
    fn run(&self, sql: &str) -> Result<Vec<Cell>, LookupError> {
        let end = Instant::now() + QUERY_LIMIT;
        let over = move || Instant::now() >= end;
        let watched = self.database.progress_handler(STEPS, Some(over));
        watched.map_err(|error| self.failed(sql, &text(&error)))?;
        // Only the first statement counts.
        let first = Batch::new(&self.database, sql).next();
        let mut statement = first
            .map_err(|error| self.bad_query(&error))?
            .ok_or_else(|| self.failed(sql, "not an error"))?;
        let failed = |error: &rusqlite::Error| self.failed(sql, &text(error));
        let mut rows = statement.query([]).map_err(|error| failed(&error))?;
        let (mut cells, mut room) = (Vec::new(), LARGEST_ANSWER);
        while let Some(row) = rows.next().map_err(|error| failed(&error))? {
            let cell = self.column(row).map_err(|error| failed(&error))?;
            let size = cell.as_ref().map_or(0, |value| value.len()) + 32;
            room = room
                .checked_sub(size)
                .ok_or_else(|| self.failed(sql, "the answer is too large"))?;
            cells.push(cell);
        }
        Ok(cells)
    }
}

impl Client for Sqlite {
    fn ask(&mut self, query: &Template, key: &BStr) -> Result<Vec<Cell>, LookupError> {
        let Some(text) = query.fill_query(key, &quote) else {
            return Ok(Vec::new());
        };
        let Ok(sql) = text.to_str() else {
            let why = "query is not UTF-8 text";
            return Err(LookupError::retry(self.name.clone(), why));
        };
        self.keep_up();
        let found = self.run(sql);
        if found.is_err() {
            // A file that is being written over may have looked like one without tables.
            self.forget();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_outside_literals_are_found() {
        #[rustfmt::skip]
        let cases = [
            ("SELECT a FROM b WHERE c='%s'", None), ("SELECT a FROM b WHERE c=%s", Some("%s")),
            ("SELECT '%%', %u", Some("%u")), ("SELECT 'it''s %d'", None), ("SELECT 1 %% 2", None), ("%", None),
        ];
        for (query, want) in cases {
            assert_eq!(unquoted_piece(BStr::new(query)).as_deref(), want, "{query}");
        }
    }

    proptest! {
        #[test]
        fn keys_come_back_from_the_database_as_they_were(key in "[^\0]{1,40}") {
            let database = Connection::open_in_memory().unwrap();
            let mut sql = b"SELECT '".to_vec();
            quote(key.as_bytes(), &mut sql);
            sql.push(b'\'');
            let back: String = database
                .query_row(std::str::from_utf8(&sql).unwrap(), [], |row| row.get(0))
                .unwrap();
            prop_assert_eq!(back, key);
        }
    }
}
