//! `mysql`, `pgsql` and `sqlite`: tables in SQL databases.
//!
//! The settings, the templates and the joining of results are those of all database clients; here are the
//! table around them ([`SqlTable`]), the choice among several servers (`pool`), connecting (`dial`)
//! and one module per database. Nothing is started and nobody is connected to before the first lookup.
//!
//! A key reaches the server only in the quoting of the session it is sent on, and only as UTF-8 text
//! without NUL; what cannot be asked safely is an error, never "not found".
//!
//! Source: tables.md §7 of the specification, mysql_table(5), pgsql_table(5), sqlite_table(5).

#[cfg(any(feature = "mysql", feature = "pgsql"))]
#[cfg_attr(
    not(all(feature = "mysql", feature = "pgsql")),
    allow(dead_code, reason = "each database uses a part")
)]
mod dial;
#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "pgsql")]
pub(crate) mod pgsql;
#[cfg(any(feature = "mysql", feature = "pgsql"))]
#[cfg_attr(
    not(all(feature = "mysql", feature = "pgsql")),
    allow(dead_code, reason = "each database uses a part")
)]
mod pool;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
#[cfg(feature = "sqlite")]
mod watch;

use bstr::{BStr, BString, ByteSlice};
use postern_config::Config;

use crate::client_config::ClientConfig;
use crate::expansion::{DomainFilter, Template, Values, verbatim};
#[cfg(any(feature = "mysql", feature = "pgsql"))]
use crate::tls;
use crate::{Flags, Lookup, LookupError, OpenError, Owner, Table};

/// A column of a row; `None` is NULL.
type Cell = Option<BString>;

/// How NULL and empty columns count, the place of the limit's message, and who blames the domain list.
struct Manner {
    /// The table type.
    kind: &'static str,
    /// NULL is worth the warning that an empty column gets.
    warns_of_null: bool,
    /// What stands between "key" and the key in the message about the limit.
    limit_colon: &'static str,
    /// Whether a failing `domain` list is logged for the table, too.
    names_domain: bool,
}

/// The side of a table that talks to the database.
trait Client: Send {
    /// The columns that `query` filled with `key` gives; `key` has all that `query` needs. Failures are
    /// logged already.
    fn ask(&mut self, query: &Template, key: &BStr) -> Result<Vec<Cell>, LookupError>;
}

/// A table in a database.
struct SqlTable {
    name: String,
    /// The name without type: a path, or the prefix of parameters in main.cf.
    source: String,
    manner: Manner,
    flags: Flags,
    owner: Owner,
    query: Template,
    format: Template,
    /// Most values of a result; 0 is no limit.
    limit: usize,
    domain: DomainFilter,
    client: Box<dyn Client>,
}

impl SqlTable {
    /// Reads what all SQL tables have; `legacy` makes the query when there is no `query` parameter.
    fn open(
        config: &Config,
        settings: &ClientConfig<'_>,
        (name, flags, manner): (&str, Flags, Manner),
        client: Box<dyn Client>,
        query: &BStr,
    ) -> Result<Self, OpenError> {
        let query = Template::query(name, query)?;
        let format = settings.bytes("result_format", "%s");
        let format = Template::result(name, BStr::new(&format))?;
        let limit = settings.int("expansion_limit", 0, None, None)?;
        let domain = settings.string("domain", "")?;
        Ok(Self {
            name: format!("{}:{name}", manner.kind),
            source: name.to_owned(),
            manner,
            flags: flags | Flags::FIXED,
            owner: settings.owner(),
            query,
            format,
            limit: usize::try_from(limit).unwrap_or(0),
            domain: DomainFilter::open(config, name, &domain),
            client,
        })
    }

    /// Whether there is a question to ask about `key` at all.
    fn is_asked(&mut self, key: &BStr) -> Result<bool, LookupError> {
        if key.is_empty() {
            let name = &self.name;
            log::warn!("table \"{name}\": empty query string -- ignored");
            return Ok(false);
        }
        // No row can have such a key, and no server should have to guess what it means.
        if key.to_str().is_err() || key.contains(&0) {
            return Ok(false);
        }
        let admitted = self.domain.admits(key).inspect_err(|_| {
            if self.manner.names_domain {
                let name = &self.name;
                log::warn!("{name} 'domain' pattern match failed for '{key}'");
            }
        })?;
        Ok(admitted && self.format.suits(key) && self.query.fill_query(key, &verbatim).is_some())
    }

    fn join(&self, key: &BStr, cells: Vec<Cell>) -> Lookup {
        let mut values = Values::new(&self.name, key, &self.format, self.limit);
        for cell in cells {
            let value = match cell {
                Some(value) => value,
                None if self.manner.warns_of_null => BString::default(),
                None => continue,
            };
            // Postfix takes columns as C strings.
            let end = value.find_byte(0).unwrap_or(value.len());
            let value = BStr::new(value.get(..end).unwrap_or_default());
            if values.add(value).is_err() {
                let (kind, source) = (self.manner.kind, &self.source);
                let what = format!(
                    "dict_{kind}_lookup: {source}: Expansion limit exceeded for key{} '{key}'",
                    self.manner.limit_colon
                );
                log::warn!("{what}");
                return Err(LookupError::retry(self.name.clone(), "Application error"));
            }
        }
        Ok(values.finish())
    }
}

impl Table for SqlTable {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        if !self.is_asked(key)? {
            return Ok(None);
        }
        let cells = self.client.ask(&self.query, key)?;
        self.join(key, cells)
    }
    fn owner(&self) -> Owner {
        self.owner
    }
}

/// The text of the query: `query`, or what the parameters from before it make.
fn query_text(settings: &ClientConfig<'_>) -> Result<BString, OpenError> {
    if let Some(query) = settings.get("query").filter(|query| !query.is_empty()) {
        return Ok(query);
    }
    let table = settings.required("table")?;
    let select = settings.required("select_field")?;
    let by = settings.required("where_field")?;
    let more = settings.bytes("additional_conditions", "");
    let mut query = BString::from(format!("SELECT {select} FROM {table} WHERE {by}='%s' "));
    query.extend_from_slice(&more);
    Ok(query)
}
