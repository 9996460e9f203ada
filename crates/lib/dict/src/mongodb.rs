//! `mongodb`: tables in the collections of MongoDB servers. Manual page: mongodb_table(5).
//!
//! The client is ours: `bson` and `wire` are the protocol, `json` and `extended` the query, `scram` the
//! login, `uri` and `seeds` say where servers are, `session` is a connection and `cluster` the choice among
//! several servers. Nobody is connected to before the first lookup. A key reaches the server only inside
//! strings of the query, and what cannot be asked or answered is an error, never "not found".
//!
//! Source: tables.md §7.5 of the specification, mongodb_table(5).

mod bson;
mod cluster;
mod extended;
mod json;
mod scram;
mod seeds;
mod session;
mod uri;
mod wire;

use bstr::{BStr, ByteSlice};
use postern_config::Config;
use std::sync::{Arc, Mutex, PoisonError};

use crate::client_config::ClientConfig;
use crate::expansion::{DomainFilter, Template, Values, verbatim};
use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table, split_list};
use bson::{Document, Element, Elements};
use cluster::Cluster;
use json::Query;
use session::{LARGEST_ANSWER, Question};
use uri::Uri;

/// The field that no result has.
const ID: &str = "_id";
/// `expansion_limit`, when it is not set, and at most.
const EXPANSION_LIMIT: i32 = 10;
const MOST_EXPANSIONS: i32 = 100;
/// Arrays in arrays of a result.
const DEEPEST: usize = 32;

struct MongoDb {
    /// `type:name` and name, for messages.
    name: String,
    source: String,
    flags: Flags,
    owner: Owner,
    domain: DomainFilter,
    database: String,
    collection: String,
    /// The filter as a text, which says what a key needs to have.
    query: Template,
    /// The filter; the error is said at each lookup.
    filter: Result<Query, String>,
    projection: Result<Document, String>,
    format: Template,
    /// Most values of a result; 0 is no limit.
    limit: usize,
    cluster: Arc<Mutex<Cluster>>,
}

/// Opens `mongodb:name`.
pub(crate) fn open(
    config: &Config,
    name: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    if mode != OpenMode::Read {
        let text = format!("mongodb:{name}: map requires O_RDONLY access mode");
        return Err(OpenError(text));
    }
    let settings = ClientConfig::open(config, name)?;
    let text = settings.required("uri")?;
    let database = settings.required("dbname")?;
    let collection = settings.required("collection")?;
    let filter = settings.required("query_filter")?;
    let projection = projection(name, &settings)?;
    let format = settings.bytes("result_format", "%s");
    let limit = settings.int(
        "expansion_limit",
        EXPANSION_LIMIT,
        Some(0),
        Some(MOST_EXPANSIONS),
    )?;
    let mut warnings = Vec::new();
    let uri = Uri::parse(&text, &mut warnings)
        .map_err(|error| OpenError(format!("mongodb:{name}: invalid uri: {error}")))?;
    for warning in warnings {
        log::warn!("mongodb:{name}: uri: {warning} -- ignored");
    }
    Ok(Box::new(MongoDb {
        name: format!("mongodb:{name}"),
        source: name.to_owned(),
        flags: flags | Flags::FIXED,
        owner: settings.owner(),
        query: Template::query(name, BStr::new(&filter))?,
        filter: Query::filter(name, &filter).map_err(|error| format!("query_filter: {error}")),
        projection,
        format: Template::result(name, BStr::new(&format))?,
        limit: usize::try_from(limit).unwrap_or(0),
        domain: DomainFilter::open(config, name, &settings.string("domain", "")?),
        cluster: cluster::shared(&text, uri),
        database,
        collection,
    }))
}

/// Which fields are wanted: `projection`, or the names of `result_attribute`. A projection that is no JSON
/// is an error of each lookup.
fn projection(
    name: &str,
    settings: &ClientConfig<'_>,
) -> Result<Result<Document, String>, OpenError> {
    let projection = settings.string("projection", "")?;
    let attributes = settings.string("result_attribute", "")?;
    if projection.is_empty() == attributes.is_empty() {
        return Err(OpenError(format!(
            "mongodb:{name}: specify exactly one of 'projection' or 'result_attribute'"
        )));
    }
    if projection.is_empty() {
        let names = split_list(&attributes);
        let wanted = names
            .iter()
            .fold(Document::new(), |document, name| document.int32(name, 1));
        let is_listed = names.contains(&ID);
        return Ok(Ok(without_id(wanted, is_listed)));
    }
    let document = Query::plain(&projection).and_then(|projection| {
        let has_id = projection.has(ID);
        Ok(without_id(projection.fill(BStr::new(""))?, has_id))
    });
    Ok(document.map_err(|error| format!("projection: {error}")))
}

/// Spares the server the field that is dropped in any case, unless the projection has an opinion on it:
/// without another field, a second one would ask for all the rest.
fn without_id(projection: Document, has_id: bool) -> Document {
    if has_id {
        projection
    } else {
        projection.int32(ID, 0)
    }
}

impl MongoDb {
    fn retry(&self, reason: impl Into<String>) -> LookupError {
        LookupError::retry(self.name.clone(), reason)
    }

    /// As [`MongoDb::retry`] for what nobody has logged yet.
    fn failed(&self, reason: &str) -> LookupError {
        log::warn!("{}: {reason}", self.name);
        self.retry(reason)
    }

    /// Whether there is a question to ask about `key` at all.
    fn is_asked(&mut self, key: &BStr) -> Result<bool, LookupError> {
        if key.is_empty() {
            log::warn!("table \"{}\": empty query string -- ignored", self.name);
            return Ok(false);
        }
        // No string of a document is other than UTF-8, and none with a NUL can be a result of ours.
        if key.to_str().is_err() || key.contains(&0) {
            return Ok(false);
        }
        let admitted = self.domain.admits(key).map_err(|error| LookupError {
            table: self.name.clone(),
            ..error
        })?;
        Ok(admitted && self.format.suits(key) && self.query.fill_query(key, &verbatim).is_some())
    }

    fn look_up(&self, key: &BStr) -> Lookup {
        let filled = match &self.filter {
            Ok(filter) => filter
                .fill(key)
                .map_err(|error| format!("query_filter: {error}")),
            Err(error) => Err(error.clone()),
        };
        let filter = filled.map_err(|error| self.failed(&error))?;
        let projection = self
            .projection
            .as_ref()
            .map_err(|error| self.failed(error))?;
        let question = Question {
            database: &self.database,
            collection: &self.collection,
            filter: &filter,
            projection,
        };
        let mut cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        let found = cluster.find_last(&self.name, &question);
        drop(cluster);
        match found.map_err(|why| self.retry(why))? {
            Some(document) => self.join(key, &document),
            None => Ok(None),
        }
    }

    /// The values of a document, joined.
    fn join(&self, key: &BStr, document: &[u8]) -> Lookup {
        let mut values = Values::new(&self.name, key, &self.format, self.limit);
        let added = Elements::whole(document)
            .map_err(Trouble::from)
            .and_then(|fields| {
                for field in fields {
                    let (name, value) = field?;
                    if name != ID {
                        self.add((name, key), value, 0, &mut values)?;
                    }
                }
                Ok(())
            });
        match added {
            Ok(()) => Ok(values.finish()),
            Err(Trouble::TooMany) => {
                let source = &self.source;
                log::warn!(
                    "dict_mongodb_lookup: {source}: Expansion limit exceeded for key: '{key}'"
                );
                Err(self.retry("Application error"))
            }
            Err(Trouble::Other(what)) => Err(self.failed(what)),
        }
    }

    /// Adds a value, and those of an array one by one.
    fn add(
        &self,
        place: (&str, &BStr),
        value: Element<'_>,
        depth: usize,
        values: &mut Values<'_>,
    ) -> Result<(), Trouble> {
        match value {
            Element::Text(text) if text.contains('\0') => {
                return Err(Trouble::Other("a value with a null byte"));
            }
            Element::Text(text) => values.add(BStr::new(text))?,
            Element::Int32(number) => values.add(BStr::new(&number.to_string()))?,
            Element::Int64(number) => values.add(BStr::new(&number.to_string()))?,
            Element::Array(_) if depth >= DEEPEST => {
                return Err(Trouble::Other("arrays nested too deeply"));
            }
            Element::Array(list) => {
                for element in list {
                    self.add(place, element?.1, depth + 1, values)?;
                }
            }
            other => {
                let ((field, key), kind, name) = (place, other.kind(), &self.name);
                log::warn!(
                    "{name}: field \"{field}\" has a value of type {kind} for key '{key}' -- ignored"
                );
            }
        }
        if values.len() > LARGEST_ANSWER {
            return Err(Trouble::Other("the result is too long"));
        }
        Ok(())
    }
}

/// Why a document gives no result.
enum Trouble {
    TooMany,
    Other(&'static str),
}

impl From<crate::expansion::TooMany> for Trouble {
    fn from(_: crate::expansion::TooMany) -> Self {
        Self::TooMany
    }
}

impl From<bson::Malformed> for Trouble {
    fn from(_: bson::Malformed) -> Self {
        Self::Other("malformed reply of the server")
    }
}

impl Table for MongoDb {
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
        self.look_up(key)
    }
    fn owner(&self) -> Owner {
        self.owner
    }
}

/// The doors for the targets of `fuzz/`.
#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    use super::*;
    use std::time::{Duration, Instant};

    /// A login at a server that says what is in `channel`, then a question.
    pub(crate) fn session(channel: postern_wire::Channel, has_login: bool) {
        let text = if has_login {
            "mongodb://user:pencil@localhost/?authMechanism=SCRAM-SHA-256"
        } else {
            "mongodb://localhost/?replicaSet=rs"
        };
        let (Ok(uri), Ok(filter)) = (
            Uri::parse(text, &mut Vec::new()),
            Query::plain("{\"k\": \"v\"}").and_then(|query| query.fill(BStr::new("k"))),
        ) else {
            return;
        };
        let end = Instant::now() + Duration::from_secs(1);
        let Ok(mut session) = session::Session::start(&uri, channel, end) else {
            return;
        };
        let question = Question {
            database: "mail",
            collection: "aliases",
            filter: &filter,
            projection: &filter,
        };
        while let Ok(Some(document)) = session.find_last(&question, None, end) {
            assert!(document.len() <= LARGEST_ANSWER);
        }
    }

    /// Reads `text` as a filter and as a connection string; a key must not change what kind of query it is.
    pub(crate) fn read_texts(text: &str, key: &str) {
        let _ = Uri::parse(text, &mut Vec::new());
        let _ = Query::plain(text);
        if !key.contains('\0')
            && let Ok(query) = Query::filter("fuzz", text)
            && let Ok(document) = query.fill(BStr::new(key))
        {
            let bytes = document.to_bytes();
            assert!(
                Elements::whole(&bytes).is_ok_and(|mut fields| fields.all(|field| field.is_ok()))
            );
        }
    }
}

#[cfg(test)]
mod tests;
