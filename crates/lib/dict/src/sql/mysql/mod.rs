//! `mysql`: tables in MySQL and MariaDB databases. Manual page: mysql_table(5).
//!
//! The text protocol is spoken here over the message types of the `mysql` driver's protocol crate; its
//! connections would trust every public certificate authority beside `tls_CAfile`, run several statements
//! in one query, and wait without an end in sight.

mod auth;
mod escape;
mod option_file;
mod packets;
mod session;

use bstr::{BStr, BString, ByteSlice};
use postern_config::Config;
use std::sync::Arc;
use std::time::Duration;

use super::pool::{Class, IDLE_INTERVAL, Limits, Pool, RETRY_INTERVAL, interval};
use super::tls::{Check, TlsFiles};
use super::{Cell, Client, Manner, SqlTable, dial, query_text};
use crate::client_config::ClientConfig;
use crate::expansion::Template;
use crate::{Flags, LookupError, OpenError, OpenMode, Table, split_list};
#[cfg(fuzzing)]
pub(crate) use session::fuzzing;
use session::{Connection, Login, Place, Target};

/// Where Debian's servers listen unless an option file knows better.
const DEFAULT_SOCKET: &str = "/run/mysqld/mysqld.sock";
const DEFAULT_PORT: u16 = 3306;

/// One server of the `hosts` parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Server {
    Socket(String),
    /// `localhost`: the default socket. The port counts when an option file names another host.
    Local(Option<u16>),
    Inet(String, Option<u16>),
}

/// What the table says about logging in; option files have more.
struct Settings {
    user: BString,
    password: Option<BString>,
    database: BString,
    charset: Option<String>,
    option_file: Option<String>,
    option_group: String,
    tls: TlsFiles,
    verify: Option<bool>,
    require_result_set: bool,
}

struct MySql {
    name: String,
    settings: Settings,
    servers: Vec<(String, Server)>,
    retry: Duration,
    idle: Duration,
    /// Made by the first lookup: option files are read then.
    pool: Option<Pool<Connection>>,
}

/// Opens `mysql:name`.
pub(crate) fn open(
    config: &Config,
    name: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    crate::simple::read_only("mysql", name, mode)?;
    let file = ClientConfig::open(config, name)?;
    let settings = settings(&file)?;
    let seconds = |parameter, default| interval(&file, parameter, default);
    let client = MySql {
        name: format!("mysql:{name}"),
        servers: servers(&file.string("hosts", "")?)?,
        retry: seconds("retry_interval", RETRY_INTERVAL)?,
        idle: seconds("idle_interval", IDLE_INTERVAL)?,
        pool: None,
        settings,
    };
    let manner = Manner {
        kind: "mysql",
        warns_of_null: false,
        limit_colon: ":",
        names_domain: true,
    };
    let query = query_text(&file)?;
    let (client, query) = (Box::new(client), BStr::new(&query));
    let table = SqlTable::open(config, &file, (name, flags, manner), client, query)?;
    Ok(Box::new(table))
}

fn settings(file: &ClientConfig<'_>) -> Result<Settings, OpenError> {
    let text = |parameter| file.string(parameter, "");
    Ok(Settings {
        database: BString::from(file.required("dbname")?),
        user: file.bytes("user", ""),
        password: file.get("password"),
        charset: Some(text("charset")?).filter(|charset| !charset.is_empty()),
        option_file: Some(text("option_file")?).filter(|path| !path.is_empty()),
        option_group: file.string("option_group", "client")?,
        tls: TlsFiles {
            ca_file: text("tls_CAfile")?,
            ca_path: text("tls_CApath")?,
            cert_file: text("tls_cert_file")?,
            key_file: text("tls_key_file")?,
            ciphers: text("tls_ciphers")?,
        },
        verify: match file.get("tls_verify_cert") {
            Some(_) => Some(file.boolean("tls_verify_cert", false)?),
            None => None,
        },
        require_result_set: file.boolean("require_result_set", true)?,
    })
}

/// The servers of `hosts`, each with its text.
fn servers(hosts: &str) -> Result<Vec<(String, Server)>, OpenError> {
    let listed = split_list(hosts);
    let listed = if listed.is_empty() {
        vec!["localhost"]
    } else {
        listed
    };
    listed
        .into_iter()
        .map(|text| Ok((text.to_owned(), server(text)?)))
        .collect()
}

fn server(text: &str) -> Result<Server, OpenError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Server::Socket(path.to_owned()));
    }
    let (host, port) = dial::host_and_port(text.strip_prefix("inet:").unwrap_or(text));
    let port = port.map(dial::port_number).transpose()?;
    if host == "localhost" {
        return Ok(Server::Local(port));
    }
    Ok(Server::Inet(host.to_owned(), port))
}

impl Server {
    /// Where to connect. A `host` of an option file takes the place of whatever is on this machine, as in
    /// MariaDB's library.
    fn place(&self, options: &option_file::Options) -> Place {
        let option_port = options.get("port").and_then(leading_number);
        let inet = |host: &str, own: Option<u16>| {
            let port = own.or(option_port).unwrap_or(DEFAULT_PORT);
            Place::Inet(host.to_owned(), port)
        };
        let other = options.get("host").unwrap_or_default();
        let is_here = matches!(other, "" | "localhost");
        match self {
            Self::Inet(host, port) => inet(host, *port),
            Self::Local(port) if !is_here => inet(other, *port),
            Self::Socket(_) if !is_here => inet(other, None),
            Self::Socket(path) => Place::Socket(path.clone()),
            Self::Local(_) => {
                let socket = options.get("socket").unwrap_or(DEFAULT_SOCKET);
                Place::Socket(socket.to_owned())
            }
        }
    }

    fn class(&self) -> Class {
        match self {
            Self::Socket(_) => Class::Unix,
            Self::Local(_) | Self::Inet(..) => Class::Inet,
        }
    }
}

impl MySql {
    /// The pool, with all that option files add.
    fn make_pool(&self) -> Pool<Connection> {
        let settings = &self.settings;
        let options = if settings.option_file.is_none() && settings.option_group.is_empty() {
            option_file::Options::default()
        } else {
            option_file::Options::read(settings.option_file.as_deref(), &settings.option_group)
        };
        let option = |name: &str| options.get(name).map(str::to_owned);
        let login = Arc::new(Login {
            user: user(BStr::new(&settings.user), options.bytes("user")),
            password: settings
                .password
                .clone()
                .or_else(|| options.bytes("password").map(BStr::to_owned))
                .unwrap_or_default(),
            database: settings.database.clone(),
            charset: settings
                .charset
                .clone()
                .or_else(|| option("default-character-set").filter(|name| name != "auto"))
                .unwrap_or_else(|| "utf8mb4".to_owned()),
            init: options.init_commands().to_vec(),
            tls: tls(settings, &options),
            table: self.name.clone(),
            require_result_set: settings.require_result_set,
            limits: Limits::USUAL,
        });
        let mut pool = Pool::new(self.retry, self.idle);
        for (label, server) in &self.servers {
            let target = Target {
                place: server.place(&options),
                login: Arc::clone(&login),
            };
            pool.add(label.clone(), server.class(), target);
        }
        pool
    }
}

impl Client for MySql {
    fn ask(&mut self, query: &Template, key: &BStr) -> Result<Vec<Cell>, LookupError> {
        let pool = match self.pool.take() {
            Some(pool) => pool,
            None => self.make_pool(),
        };
        self.pool
            .insert(pool)
            .ask(|connection| connection.query(query, key))
            .map_err(|why| LookupError::retry(self.name.clone(), why))
    }
}

/// The name to log in with: the table's, the option file's, or that of whom the process runs as.
fn user(own: &BStr, option: Option<&BStr>) -> BString {
    if !own.is_empty() {
        return own.to_owned();
    }
    let system = || {
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok()?;
        Some(BString::from(user?.name))
    };
    option
        .map(BStr::to_owned)
        .or_else(system)
        .unwrap_or_default()
}

/// The number that a value begins with, unless it is 0.
fn leading_number(text: &str) -> Option<u16> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit());
    let number = text.get(..digits.unwrap_or(text.len()))?;
    number.parse().ok().filter(|number| *number != 0)
}

/// Encryption is used when anything about it is set; in option files, `ssl-verify-server-cert` alone asks for
/// it only by a number, as in MariaDB's library, and `ssl` alone takes any server.
fn tls(settings: &Settings, options: &option_file::Options) -> Option<(TlsFiles, Check)> {
    let own = |own: &String, name: &str| {
        let option = |prefix: &str| options.get(&format!("{prefix}-{name}"));
        if own.is_empty() {
            option("ssl")
                .or_else(|| option("tls"))
                .unwrap_or_default()
                .to_owned()
        } else {
            own.clone()
        }
    };
    let files = TlsFiles {
        ca_file: own(&settings.tls.ca_file, "ca"),
        ca_path: own(&settings.tls.ca_path, "capath"),
        cert_file: own(&settings.tls.cert_file, "cert"),
        key_file: own(&settings.tls.key_file, "key"),
        ciphers: own(&settings.tls.ciphers, "cipher"),
    };
    let is_on = |names: [&str; 2]| names.iter().any(|name| options.is_on(name));
    let verifying = ["ssl-verify-server-cert", "tls-verify-peer"];
    let is_number = |name: &&str| options.get(name).and_then(leading_number).is_some();
    let is_asked_for = settings
        .verify
        .unwrap_or_else(|| verifying.iter().any(is_number))
        || files != TlsFiles::default()
        || is_on(["ssl-enforce", "tls-enforce"]);
    let is_liked = options.is_on("ssl") && !is_on(["skip-ssl", "disable-ssl"]);
    if !is_asked_for {
        return is_liked.then_some((files, Check::Nothing));
    }
    let verify = settings.verify.unwrap_or_else(|| is_on(verifying));
    let has_authority = !files.ca_file.is_empty() || !files.ca_path.is_empty();
    let check = match (verify, has_authority) {
        (true, _) => Check::ChainAndName,
        (false, true) => Check::Chain,
        (false, false) => Check::Nothing,
    };
    Some((files, check))
}

/// Whether the template has double quotes, which the rules of quoting have to know.
fn has_double_quotes(query: &Template) -> bool {
    // A template filled with an ordinary key shows its own text.
    query
        .fill_query(
            BStr::new("a@a.a.a.a.a.a.a.a.a"),
            &crate::expansion::verbatim,
        )
        .is_none_or(|text| text.contains_str("\""))
}

#[cfg(test)]
mod tests;
