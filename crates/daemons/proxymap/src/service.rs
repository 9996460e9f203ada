//! One request and its answer. Protocol: `postern_ipc::proxymap`.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, Write};

use bstr::{BStr, BString, ByteSlice};
use postern_attr::{AttrError, Encoding, Extra};
use postern_config::{Config, Param, params};
use postern_dict::{
    ErrorKind, Flags, LookupError, OpenMode, Surrogate, Table, split_type_name, try_open,
};
use postern_ipc::StatusReply;
use postern_ipc::proxymap::{
    KeyBody, LookupReply, OpenBody, OpenReply, RequestName, SequenceBody, SequenceReply,
    UpdateBody, status,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::approval::Approved;

/// Which of the two services this process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

impl Access {
    /// The parameter that approves tables.
    pub(crate) fn parameter(self) -> Param<String> {
        match self {
            Self::ReadOnly => params::PROXY_READ_MAPS,
            Self::ReadWrite => params::PROXY_WRITE_MAPS,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
        }
    }
}

/// A table open with certain flags.
struct Handle {
    table: Box<dyn Table>,
    /// Opened to answer `open` only; the first lookup, which knows all flags, replaces it.
    probe: bool,
}

/// The approved tables and those that are open.
pub(crate) struct Service {
    access: Access,
    approved: Approved,
    open: HashMap<(String, Flags), Handle>,
    /// Tables whose open error was logged.
    reported: HashSet<String>,
}

impl Service {
    /// No table is open yet.
    pub(crate) fn new(access: Access, approved: Approved) -> Self {
        Self {
            access,
            approved,
            open: HashMap::new(),
            reported: HashSet::new(),
        }
    }

    /// Which service this is.
    pub(crate) fn access(&self) -> Access {
        self.access
    }

    /// Reads one request and writes its answer.
    pub(crate) fn serve(
        &mut self,
        config: &Config,
        peer: &mut (impl BufRead + Write),
    ) -> Result<(), AttrError> {
        let name: RequestName = postern_attr::read(peer, Encoding::Null, Extra::Leave)?;
        match name.request.as_bytes() {
            b"open" => {
                let body = read(peer)?;
                reply(peer, &self.answer_open(config, &body))
            }
            b"lookup" => {
                let body = read(peer)?;
                reply(peer, &self.lookup(config, &body))
            }
            b"update" => {
                let body = read(peer)?;
                reply(peer, &self.update(config, &body))
            }
            b"delete" => {
                let body = read(peer)?;
                reply(peer, &self.delete(config, &body))
            }
            b"sequence" => {
                let body = read(peer)?;
                reply(peer, &self.sequence(config, &body))
            }
            other => {
                log::warn!("unrecognized request: \"{}\", ignored", BStr::new(other));
                reply(
                    peer,
                    &StatusReply {
                        status: status::BAD,
                    },
                )
            }
        }
    }

    /// The approved name, or the status that refuses it.
    fn approve<'a>(&self, table: &'a BStr) -> Result<&'a str, i32> {
        let mut name = table.to_str().unwrap_or_default();
        while let Some(inner) = name.strip_prefix("proxy:") {
            name = inner;
        }
        if !name.is_empty() && self.approved.contains(name) {
            return match split_type_name(name) {
                Ok(_) => Ok(name),
                Err(error) => {
                    log::warn!("{error}");
                    Err(status::BAD)
                }
            };
        }
        let (access, parameter) = (self.access.words(), self.access.parameter().info.name);
        log::warn!("request for unapproved table: \"{table}\"");
        log::warn!(
            "to approve this table for {access} access, list proxy:{table} in main.cf:{parameter}"
        );
        Err(status::DENY)
    }

    /// All flags a table is opened with.
    fn flags(&self, wire: i32) -> Flags {
        let flags = Flags(u32::from_ne_bytes(wire.to_ne_bytes()))
            .without(Flags::IMPLEMENTATION | Flags::UTF8_ACTIVE);
        match self.access {
            Access::ReadOnly => flags,
            // One handle serves lookups and updates; each update must survive a crash.
            Access::ReadWrite => flags | Flags::SYNC_UPDATE | Flags::DUP_REPLACE,
        }
    }

    fn open_new(&mut self, config: &Config, name: &str, flags: Flags) -> Box<dyn Table> {
        let mode = match self.access {
            Access::ReadOnly => OpenMode::Read,
            Access::ReadWrite => OpenMode::ReadWriteCreate,
        };
        try_open(config, name, mode, flags).unwrap_or_else(|error| {
            if self.reported.insert(name.to_owned()) {
                log::error!("{error}");
            }
            Box::new(Surrogate::new(name, flags, &error))
        })
    }

    fn table(&mut self, config: &Config, name: &BStr, wire: i32) -> Result<&mut dyn Table, i32> {
        let name = self.approve(name)?;
        let flags = self.flags(wire);
        self.open
            .retain(|(open, _), handle| !(handle.probe && open == name));
        let key = (name.to_owned(), flags);
        if !self.open.contains_key(&key) {
            let table = self.open_new(config, name, flags);
            self.open.insert(
                key.clone(),
                Handle {
                    table,
                    probe: false,
                },
            );
        }
        match self.open.get_mut(&key) {
            Some(handle) => Ok(handle.table.as_mut()),
            None => Err(status::RETRY),
        }
    }

    fn answer_open(&mut self, config: &Config, body: &OpenBody) -> OpenReply {
        let name = match self.approve(body.table.as_ref()) {
            Ok(name) => name,
            Err(status) => return OpenReply { status, flags: 0 },
        };
        let flags = self.flags(body.flags);
        let same = |(open, with): &(String, Flags)| {
            open == name && (*with & Flags::INSTANCE) == (flags & Flags::INSTANCE)
        };
        if !self.open.keys().any(same) {
            let table = self.open_new(config, name, flags);
            self.open
                .insert((name.to_owned(), flags), Handle { table, probe: true });
        }
        let found = self
            .open
            .iter()
            .find(|(key, _)| same(key))
            .map(|(_, handle)| handle.table.flags());
        let flags = found.unwrap_or_default();
        OpenReply {
            status: status::OK,
            flags: i32::from_ne_bytes(flags.0.to_ne_bytes()),
        }
    }

    fn lookup(&mut self, config: &Config, body: &KeyBody) -> LookupReply {
        let answer = self
            .table(config, body.table.as_ref(), body.flags)
            .and_then(|table| {
                table
                    .lookup(body.key.as_ref())
                    .map_err(|error| failed(&error))
            });
        match answer {
            Ok(Some(value)) => LookupReply {
                status: status::OK,
                value,
            },
            Ok(None) => LookupReply {
                status: status::NOKEY,
                value: BString::default(),
            },
            Err(status) => LookupReply {
                status,
                value: BString::default(),
            },
        }
    }

    /// Refuses changes on the read service.
    fn may_write(&self, table: &BStr, request: &str) -> Result<(), i32> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => {
                log::warn!("refusing {table} {request} request on non-proxywrite service");
                Err(status::DENY)
            }
        }
    }

    fn update(&mut self, config: &Config, body: &UpdateBody) -> StatusReply {
        let answer = self
            .may_write(body.table.as_ref(), "update")
            .and_then(|()| {
                let table = self.table(config, body.table.as_ref(), body.flags)?;
                table
                    .update(body.key.as_ref(), body.value.as_ref())
                    .map_err(|error| failed(&error))
            });
        StatusReply {
            status: answer.err().unwrap_or(status::OK),
        }
    }

    fn delete(&mut self, config: &Config, body: &KeyBody) -> StatusReply {
        let answer = self
            .may_write(body.table.as_ref(), "delete")
            .and_then(|()| {
                let table = self.table(config, body.table.as_ref(), body.flags)?;
                table
                    .delete(body.key.as_ref())
                    .map_err(|error| failed(&error))
            });
        let status = match answer {
            Ok(true) => status::OK,
            Ok(false) => status::NOKEY,
            Err(status) => status,
        };
        StatusReply { status }
    }

    fn sequence(&mut self, config: &Config, body: &SequenceBody) -> SequenceReply {
        let none = |status| SequenceReply {
            status,
            key: BString::default(),
            value: BString::default(),
        };
        let restart = match body.function {
            0 => true,
            1 => false,
            other => {
                log::warn!("bad sequence function {other} -- ignored");
                return none(status::BAD);
            }
        };
        let answer = self
            .table(config, body.table.as_ref(), body.flags)
            .and_then(|table| table.sequence(restart).map_err(|error| failed(&error)));
        match answer {
            Ok(Some((key, value))) => SequenceReply {
                status: status::OK,
                key,
                value,
            },
            Ok(None) => none(status::NOKEY),
            Err(status) => none(status),
        }
    }
}

/// The status for a failure.
fn failed(error: &LookupError) -> i32 {
    match error.kind {
        ErrorKind::Retry | ErrorKind::Fatal => status::RETRY,
        ErrorKind::Config => status::CONFIG,
    }
}

fn read<T: DeserializeOwned>(peer: &mut impl BufRead) -> Result<T, AttrError> {
    postern_attr::read(peer, Encoding::Null, Extra::Refuse)
}

fn reply(peer: &mut impl Write, list: &impl Serialize) -> Result<(), AttrError> {
    postern_attr::write(peer, Encoding::Null, list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Read};

    /// A client's bytes and room for the answer.
    struct Peer {
        input: Cursor<Vec<u8>>,
        output: Vec<u8>,
    }

    impl Read for Peer {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.input.read(buffer)
        }
    }

    impl BufRead for Peer {
        fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
            self.input.fill_buf()
        }
        fn consume(&mut self, count: usize) {
            self.input.consume(count);
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.output.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn ask(service: &mut Service, config: &Config, request: &str) -> String {
        let mut peer = Peer {
            input: Cursor::new(request.replace('|', "\0").into_bytes()),
            output: Vec::new(),
        };
        service.serve(config, &mut peer).unwrap();
        String::from_utf8(peer.output).unwrap().replace('\0', "|")
    }

    #[test]
    fn requests_are_answered_as_on_the_wire_of_postfix() {
        let config = Config::from_text("smtputf8_enable = no").unwrap();
        let approved = Approved::new(
            &config,
            "proxy:inline:{a=1} proxy:fail:x proxy:regexp:{{/$x/ y}} proxy:nosuch:t",
        );
        let mut read = Service::new(Access::ReadOnly, approved);
        #[rustfmt::skip]
        let cases = [
            ("request|open|table|inline:{a=1}|flags|0||",                          "status|0|flags|16||"),
            ("request|lookup|table|inline:{a=1}|flags|524352|key|a||",             "status|0|value|1||"),
            ("request|lookup|table|inline:{a=1}|flags|16448|key|A||",              "status|0|value|1||"),
            ("request|lookup|table|inline:{a=1}|flags|64|key|A||",                 "status|1|value|||"),
            ("request|lookup|table|fail:x|flags|64|key|A||",                       "status|2|value|||"),
            ("request|lookup|table|nosuch:t|flags|64|key|A||",                     "status|2|value|||"),
            ("request|lookup|table|inline:{b=1}|flags|64|key|A||",                 "status|4|value|||"),
            ("request|open|table|hash:/etc/other|flags|0||",                       "status|4|flags|0||"),
            ("request|update|table|inline:{a=1}|flags|64|key|A|value|x||",         "status|4||"),
            ("request|delete|table|inline:{a=1}|flags|64|key|A||",                 "status|4||"),
            ("request|sequence|table|inline:{a=1}|flags|64|function|0||",          "status|0|key|a|value|1||"),
            ("request|sequence|table|inline:{a=1}|flags|64|function|1||",          "status|1|key||value|||"),
            ("request|sequence|table|inline:{a=1}|flags|64|function|7||",          "status|3|key||value|||"),
            ("request|what||",                                                     "status|3||"),
        ];
        for (request, want) in cases {
            assert_eq!(ask(&mut read, &config, request), want, "{request}");
        }
    }

    #[test]
    fn the_write_service_stores_and_removes() {
        let dir = tempfile::tempdir().unwrap();
        let table = format!("lmdb:{}/t", dir.path().display());
        let config = Config::from_text("").unwrap();
        let mut service = Service::new(
            Access::ReadWrite,
            Approved::new(&config, &format!("proxy:{table}")),
        );
        let mut ask = |text: &str| ask(&mut service, &config, &text.replace('T', &table));
        assert_eq!(
            ask("request|lookup|table|T|flags|64|key|a||"),
            "status|1|value|||"
        );
        assert_eq!(
            ask("request|update|table|T|flags|64|key|a|value|x||"),
            "status|0||"
        );
        assert_eq!(
            ask("request|update|table|T|flags|64|key|a|value|y||"),
            "status|0||"
        );
        assert_eq!(
            ask("request|lookup|table|T|flags|64|key|a||"),
            "status|0|value|y||"
        );
        assert_eq!(ask("request|delete|table|T|flags|64|key|a||"), "status|0||");
        assert_eq!(ask("request|delete|table|T|flags|64|key|a||"), "status|1||");
    }
}
