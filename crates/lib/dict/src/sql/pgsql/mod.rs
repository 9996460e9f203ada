//! `pgsql`: tables in PostgreSQL databases. Manual page: pgsql_table(5).
//!
//! The text protocol is spoken here over the message types of the `postgres` driver's protocol crate: that
//! driver brings an asynchronous runtime, can use UTF-8 only, and knows no limit for a query.

mod binding;
mod messages;
mod session;
mod uri;

use bstr::{BStr, BString};
use postern_config::Config;
use std::time::Duration;

use super::pool::{Class, IDLE_INTERVAL, Limits, Pool, RETRY_INTERVAL, interval};
use super::tls::TlsFiles;
use super::{Cell, Client, Manner, SqlTable, query_text};
use crate::client_config::ClientConfig;
use crate::expansion::Template;
use crate::{Flags, LookupError, OpenError, OpenMode, Table, split_list};
#[cfg(fuzzing)]
pub(crate) use session::fuzzing;
use session::{Connection, Place, Target};
use uri::{Binding, SslMode, Uri, is_uri};

const DEFAULT_PORT: u16 = 5432;

struct PgSql {
    name: String,
    pool: Pool<Connection>,
}

/// What the table says about logging in.
struct Login {
    user: BString,
    password: BString,
    database: BString,
    encoding: String,
}

/// Opens `pgsql:name`.
pub(crate) fn open(
    config: &Config,
    name: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    crate::simple::read_only("pgsql", name, mode)?;
    let file = ClientConfig::open(config, name)?;
    let hosts = file.string("hosts", "")?;
    let hosts = Some(hosts).filter(|hosts| !hosts.trim().is_empty());
    let hosts = hosts.unwrap_or_else(|| "localhost".to_owned());
    let hosts = split_list(&hosts);
    let default = if config.look().sql_utf8() {
        "UTF8"
    } else {
        "LATIN1"
    };
    let login = Login {
        user: file.bytes("user", ""),
        password: file.bytes("password", ""),
        database: database(config, &file, name, &hosts)?,
        encoding: file.string("encoding", default)?,
    };
    let retry = interval(&file, "retry_interval", RETRY_INTERVAL)?;
    let idle = interval(&file, "idle_interval", IDLE_INTERVAL)?;
    let mut pool = Pool::new(retry, idle);
    for host in hosts {
        let (class, place) = place(host);
        pool.add(uri::shown(host), class, target(host, place, &login));
    }
    let manner = Manner {
        kind: "pgsql",
        warns_of_null: true,
        limit_colon: ":",
        names_domain: false,
    };
    let name_of_table = format!("pgsql:{name}");
    let client = Box::new(PgSql {
        name: name_of_table,
        pool,
    });
    let query = query(&file)?;
    let query = BStr::new(&query);
    let table = SqlTable::open(config, &file, (name, flags, manner), client, query)?;
    Ok(Box::new(table))
}

/// `query`, else what the parameters from before it make.
fn query(file: &ClientConfig<'_>) -> Result<BString, OpenError> {
    let is_set = |parameter| file.get(parameter).is_some_and(|value| !value.is_empty());
    if !is_set("query") && is_set("select_function") {
        let function = file.string("select_function", "")?;
        return Ok(BString::from(format!("SELECT {function}('%s')")));
    }
    query_text(file)
}

/// The name of the database: needed unless every host is a URI, which has its own.
fn database(
    config: &Config,
    file: &ClientConfig<'_>,
    name: &str,
    hosts: &[&str],
) -> Result<BString, OpenError> {
    let database = file.bytes("dbname", "");
    let Some(host) = hosts.iter().find(|host| !is_uri(host)) else {
        return Ok(database);
    };
    if database.is_empty() {
        if config.look().message_texts() {
            let text = format!("pgsql:{name} host target '{host}' requires dbname setting");
            return Err(OpenError(text));
        }
        return file.required("dbname").map(BString::from);
    }
    Ok(database)
}

/// Where `host` is, or why that cannot be known.
fn place(host: &str) -> (Class, Result<Vec<Place>, String>) {
    if is_uri(host) {
        return (Class::Uri, Ok(Vec::new()));
    }
    if let Some(path) = host.strip_prefix("unix:") {
        return (Class::Unix, Ok(vec![Place::socket(path, DEFAULT_PORT)]));
    }
    let text = host.strip_prefix("inet:").unwrap_or(host);
    if text.starts_with('/') {
        return (Class::Unix, Ok(vec![Place::socket(text, DEFAULT_PORT)]));
    }
    let (name, port) = super::dial::host_and_port(text);
    let port = uri::port_number(port.unwrap_or_default());
    let place = |port: Option<u16>| Place::Inet(name.to_owned(), port.unwrap_or(DEFAULT_PORT));
    (Class::Inet, port.map(|port| vec![place(port)]))
}

/// All that is needed to log in at `host`.
fn target(host: &str, places: Result<Vec<Place>, String>, login: &Login) -> Target {
    let mut target = Target {
        places,
        user: login.user.clone(),
        password: login.password.clone(),
        database: login.database.clone(),
        encoding: login.encoding.clone(),
        session: Vec::new(),
        ssl_mode: SslMode::default(),
        binding: Binding::default(),
        tls: TlsFiles::default(),
        limits: Limits::USUAL,
        read_write: false,
    };
    if !is_uri(host) {
        return target;
    }
    let uri = match Uri::parse(host) {
        Ok(uri) => uri,
        Err(why) => {
            target.places = Err(why);
            return target;
        }
    };
    target.places = Ok(uri
        .hosts
        .iter()
        .map(|(name, port)| {
            let port = port.unwrap_or(DEFAULT_PORT);
            match name.as_str() {
                "" => Place::socket("/var/run/postgresql", port),
                path if path.starts_with('/') => Place::socket(path, port),
                name => Place::Inet(name.to_owned(), port),
            }
        })
        .collect());
    // A URI is complete: what the table says beside it does not count.
    (target.user, target.password, target.database) = (uri.user, uri.password, uri.database);
    (target.session, target.ssl_mode, target.tls) = (uri.session, uri.ssl_mode, uri.tls);
    target.binding = uri.binding;
    if let Some(limit) = uri.connect_limit {
        target.limits.connect = limit.min(Duration::from_secs(60));
    }
    target.read_write = uri.read_write;
    target
}

impl Client for PgSql {
    fn ask(&mut self, query: &Template, key: &BStr) -> Result<Vec<Cell>, LookupError> {
        self.pool
            .ask(|connection| connection.query(query, key))
            .map_err(|why| LookupError::retry(self.name.clone(), why))
    }
}

#[cfg(test)]
mod tests;
