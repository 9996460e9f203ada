//! `ldap`: lookups in a directory. Source: ldap_table(5).
//!
//! Nothing is connected before the first lookup. Every failure is a temporary error; only an answer of
//! the server can say that there is nothing.

mod ber;
mod code;
mod connection;
mod expand;
mod filter;
mod message;
mod session;
mod settings;
mod url;

use bstr::{BStr, BString, ByteSlice};
use postern_config::Config;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::client_config::ClientConfig;
use crate::expansion::{DomainFilter, Template, Values};
use crate::simple::read_only;
use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table};
use connection::Connection;
use expand::{Attributes, Expansion};
use message::Search;
use url::Scope;

/// One lookup with all its searches: whoever waits for the answer has limits, too.
const LONGEST_LOOKUP: Duration = Duration::from_secs(300);

/// The doors for the targets of `fuzz/`.
#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    /// Reads `bytes` as messages of a server.
    pub fn read_messages(mut bytes: &[u8]) {
        while let Ok(body) = super::message::read(&mut bytes) {
            let _ = super::message::parse(&body);
        }
    }

    /// Reads `text` as a filter, and as a URL.
    pub fn read_filter(text: &[u8]) {
        let _ = (super::filter::encode(text), super::url::query(text));
    }
}

/// What a table searches for.
struct Query {
    base: Template,
    filter: Template,
    format: Template,
    attributes: Attributes,
    scope: Scope,
    dereference: i32,
    size_limit: i32,
    expansion_limit: usize,
    recursion_limit: usize,
    time_limit: i32,
}

struct Ldap {
    /// `type:name` and name, for messages.
    name: String,
    source: String,
    flags: Flags,
    owner: Owner,
    domains: DomainFilter,
    query: Query,
    connection: Arc<Mutex<Connection>>,
}

/// Opens `ldap:name`.
pub(crate) fn open(
    config: &Config,
    name: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    read_only("ldap", name, mode)?;
    let settings = ClientConfig::open(config, name)?;
    let session = settings::session(name, &settings)?;
    let query = settings::query(name, &settings)?;
    let domains = DomainFilter::open(config, name, &settings.string("domain", "")?);
    Ok(Box::new(Ldap {
        name: format!("ldap:{name}"),
        source: name.to_owned(),
        flags: flags | Flags::FIXED,
        owner: settings.owner(),
        domains,
        query,
        connection: connection::shared(session),
    }))
}

impl Ldap {
    fn retry(&self, reason: impl Into<String>) -> LookupError {
        LookupError::retry(self.name.clone(), reason)
    }

    /// The search for `key`; `None` when the key lacks what the search is made of.
    fn search_for(&self, key: &BStr) -> Option<(BString, BString)> {
        let query = &self.query;
        if !query.format.suits(key) {
            return None;
        }
        let base = query.base.fill_query(key, &filter::quote_name)?;
        let filter = query.filter.fill_query(key, &filter::quote_value)?;
        Some((base, filter))
    }

    fn look_up(&self, key: &BStr, base: BString, filter: &BStr) -> Lookup {
        let source = &self.source;
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let complain = |number: i32| {
            let text = code::text(number);
            log::warn!("dict_ldap_lookup: Search error {number}: {text} ");
        };
        let Ok(filter) = filter::encode(filter) else {
            complain(code::FILTER_ERROR);
            return Err(self.retry(code::text(code::FILTER_ERROR)));
        };
        let query = &self.query;
        let search = Search {
            base,
            scope: query.scope,
            dereference: query.dereference,
            size_limit: query.size_limit,
            time_limit: query.time_limit,
            filter,
            attributes: query.attributes.names(),
        };
        let end = Instant::now() + LONGEST_LOOKUP;
        let answer = connection.search(&search, end);
        match answer.code {
            code::SUCCESS => {}
            code::NO_SUCH_OBJECT if query.base.is_variable() => return Ok(None),
            number => {
                if number == code::NO_SUCH_OBJECT {
                    let (base, text) = (&search.base, code::text(number));
                    log::warn!(
                        "dict_ldap_lookup: {source}: Search base '{base}' not found: {number}: {text}"
                    );
                } else if !answer.is_reported {
                    complain(number);
                }
                connection.disconnect();
                return Err(self.retry(answer.reason));
            }
        }
        let mut values = Values::new(&self.name, key, &query.format, query.expansion_limit);
        let mut expansion = Expansion {
            connection: &mut connection,
            attributes: &query.attributes,
            template: &search,
            source,
            key,
            recursion_limit: query.recursion_limit,
            end,
            bytes: answer.bytes,
        };
        let done = expansion.run(answer.entries, &mut values);
        if connection.last_code != code::SUCCESS {
            let text = code::text(connection.last_code);
            log::warn!(
                "dict_ldap_lookup: Had some trouble with entries returned by search: {text}"
            );
        }
        match done {
            Ok(()) => Ok(values.finish()),
            Err(expand::Failed(reason)) => {
                connection.disconnect();
                Err(self.retry(reason))
            }
        }
    }
}

impl Table for Ldap {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        if key.is_empty() {
            log::warn!("table \"{}\": empty query string -- ignored", self.name);
            return Ok(None);
        }
        // No directory has a name that is not UTF-8.
        if key.to_str().is_err() {
            return Ok(None);
        }
        let admitted = self.domains.admits(key).map_err(|error| LookupError {
            table: self.name.clone(),
            ..error
        })?;
        match self.search_for(key) {
            Some((base, filter)) if admitted => self.look_up(key, base, BStr::new(&filter)),
            _ => Ok(None),
        }
    }
    fn owner(&self) -> Owner {
        self.owner
    }
}
