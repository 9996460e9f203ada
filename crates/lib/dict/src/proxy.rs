//! `proxy`: tables that proxymap(8) opens for this process. Source: ipc.md §4.11.

use bstr::{BStr, BString};
use postern_attr::{Encoding, Extra};
use postern_config::{Config, params};
use postern_ipc::StatusReply;
use postern_ipc::client::{Endpoint, PRIVATE, Persistent};
use postern_ipc::proxymap::{
    KeyBody, LookupReply, OpenBody, OpenReply, PROTOCOL, Request, SequenceBody, SequenceReply,
    UpdateBody, status,
};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Table};

type Client = Arc<Mutex<Persistent>>;

/// One connection a service and process.
static CLIENTS: Mutex<Option<HashMap<String, Client>>> = Mutex::new(None);

struct Proxy {
    name: String,
    /// `type:name` at the server.
    table: String,
    service: String,
    flags: Flags,
    client: Client,
}

/// Connects where the socket is: below the working directory, as daemons see it, or else below
/// the queue directory.
fn client(config: &Config, service: &str) -> Client {
    let mut all = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let clients = all.get_or_insert_with(HashMap::new);
    let new = || {
        let near = Endpoint::new(PRIVATE, service);
        let at = if near.path().exists() {
            near
        } else {
            Endpoint::below(config.get(params::QUEUE_DIRECTORY), PRIVATE, service)
        };
        let limits = (config.get(params::IPC_IDLE), config.get(params::IPC_TTL));
        let timeout = config.get(params::IPC_TIMEOUT);
        Arc::new(Mutex::new(Persistent::new(
            at,
            PROTOCOL,
            Encoding::Null,
            timeout,
            Some(limits),
        )))
    };
    clients
        .entry(service.to_owned())
        .or_insert_with(new)
        .clone()
}

/// Flags as the protocol's integer.
fn wire(flags: Flags) -> i32 {
    i32::from_ne_bytes(flags.0.to_ne_bytes())
}

/// The flags of the protocol's integer.
fn from_wire(number: i32) -> Flags {
    Flags(u32::from_ne_bytes(number.to_ne_bytes()))
}

/// Opens `proxy:table`.
pub(crate) fn open(
    config: &Config,
    table: &str,
    mode: OpenMode,
    flags: Flags,
) -> Result<Box<dyn Table>, OpenError> {
    let service = match mode {
        OpenMode::Read => config.get(params::PROXYMAP_SERVICE_NAME),
        OpenMode::ReadWrite | OpenMode::ReadWriteCreate => {
            config.get(params::PROXYWRITE_SERVICE_NAME)
        }
    };
    let client = client(config, &service);
    let body = OpenBody {
        table: BString::from(table),
        flags: wire(flags & Flags::INSTANCE),
    };
    let reply: OpenReply = client
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .ask_forever(
            &Request {
                request: "open",
                body: &body,
            },
            Extra::Refuse,
        );
    match reply.status {
        status::OK => {}
        status::DENY => {
            return Err(OpenError(format!(
                "{service} service is not configured for table \"{table}\""
            )));
        }
        _ => {
            return Err(OpenError(format!(
                "{service} open failed for table \"{table}\": invalid request"
            )));
        }
    }
    let flags = flags | (from_wire(reply.flags) & Flags::IMPLEMENTATION);
    Ok(Box::new(Proxy {
        name: format!("proxy:{table}"),
        table: table.to_owned(),
        service,
        flags,
        client,
    }))
}

impl Proxy {
    fn ask<B: serde::Serialize, R: serde::de::DeserializeOwned>(
        &self,
        request: &'static str,
        body: &B,
    ) -> Result<R, LookupError> {
        let mut client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        // Postfix's clients ask for ever; mail is better put off.
        client
            .ask_patiently(&Request { request, body }, Extra::Refuse)
            .map_err(|error| LookupError::retry(self.name.clone(), error.to_string()))
    }

    fn key_body(&self, key: &BStr) -> KeyBody {
        KeyBody {
            table: BString::from(self.table.as_str()),
            flags: self.request_flags(),
            key: key.to_owned(),
        }
    }

    fn request_flags(&self) -> i32 {
        wire(self.flags & (Flags::INSTANCE | Flags::REQUEST))
    }

    /// The meaning of a status other than "ok"; `Ok` is "not found".
    fn judge(&self, code: i32, verb: &str, key: &BStr) -> Result<(), LookupError> {
        let (table, service) = (&self.table, &self.service);
        match code {
            status::NOKEY => Ok(()),
            status::RETRY => Err(LookupError::retry(self.name.clone(), "Application error")),
            status::CONFIG => Err(LookupError::config(
                self.name.clone(),
                "configuration error",
            )),
            status::DENY => {
                let text = format!("{service} service is not configured for table \"{table}\"");
                Err(LookupError::fatal(self.name.clone(), text))
            }
            _ => {
                let text = format!(
                    "{service} {verb} failed for table \"{table}\" key \"{key}\": invalid request"
                );
                Err(LookupError::fatal(self.name.clone(), text))
            }
        }
    }
}

impl Table for Proxy {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, key: &BStr) -> Lookup {
        let reply: LookupReply = self.ask("lookup", &self.key_body(key))?;
        if reply.status == status::OK {
            return Ok(Some(reply.value));
        }
        self.judge(reply.status, "lookup", key).map(|()| None)
    }
    fn update(&mut self, key: &BStr, value: &BStr) -> Result<(), LookupError> {
        let body = UpdateBody {
            table: BString::from(self.table.as_str()),
            flags: self.request_flags(),
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let reply: StatusReply = self.ask("update", &body)?;
        if reply.status == status::OK {
            return Ok(());
        }
        self.judge(reply.status, "update", key)
    }
    fn delete(&mut self, key: &BStr) -> Result<bool, LookupError> {
        let reply: StatusReply = self.ask("delete", &self.key_body(key))?;
        if reply.status == status::OK {
            return Ok(true);
        }
        self.judge(reply.status, "delete", key).map(|()| false)
    }
    fn sequence(&mut self, restart: bool) -> Lookup<(BString, BString)> {
        let body = SequenceBody {
            table: BString::from(self.table.as_str()),
            flags: self.request_flags(),
            function: i32::from(!restart),
        };
        let reply: SequenceReply = self.ask("sequence", &body)?;
        if reply.status == status::OK {
            return Ok(Some((reply.key, reply.value)));
        }
        self.judge(reply.status, "sequence", BStr::new(""))
            .map(|()| None)
    }
}
