//! A server for tests: it speaks the protocol and does what the test says.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::mongodb::bson::{Document, Element, Elements};
use crate::mongodb::scram::Mechanism;

/// What the server does with a request.
pub(super) enum Say {
    Reply(Document),
    /// The reply to another request.
    WrongId(Document),
    /// A message as it is, after the number of the request was put in.
    Raw(Vec<u8>),
    /// Ends the connection.
    Close,
    /// Says nothing.
    Silence,
}

/// One connection's behaviour: gets the command's name and the whole request.
pub(super) type Behaviour = Box<dyn FnMut(&str, Elements<'_>) -> Say + Send>;

/// A server; it ends with the value.
pub(super) struct Fake {
    pub(super) port: u16,
    /// The commands of all connections.
    pub(super) seen: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
}

impl Fake {
    /// Starts a server with this behaviour for each connection.
    pub(super) fn start(behave: impl Fn() -> Behaviour + Send + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), behave)
    }

    /// As [`Fake::start`], where the port is known already.
    pub(super) fn on(
        listener: TcpListener,
        behave: impl Fn() -> Behaviour + Send + 'static,
    ) -> Self {
        let port = listener.local_addr().unwrap().port();
        let (seen, is_over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let fake = Self {
            port,
            seen: Arc::clone(&seen),
            is_over: Arc::clone(&is_over),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (behaviour, seen) = (behave(), Arc::clone(&seen));
                let stream = stream.unwrap();
                std::thread::spawn(move || serve(stream, behaviour, &seen));
            }
        });
        fake
    }

    /// The place as connection strings name it.
    pub(super) fn place(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// How often a command came.
    pub(super) fn count(&self, command: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|name| *name == command).count()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // So that it notices.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn serve(mut stream: TcpStream, mut behaviour: Behaviour, seen: &Mutex<Vec<String>>) {
    let mut header = [0; 21];
    while stream.read_exact(&mut header).is_ok() {
        let size = usize::try_from(u32::from_le_bytes(*header.first_chunk().unwrap())).unwrap();
        let id = header[4..8].to_vec();
        assert_eq!(header[12..], *b"\xdd\x07\0\0\0\0\0\0\0");
        let mut body = vec![0; size - header.len()];
        stream.read_exact(&mut body).unwrap();
        let request = Elements::whole(&body).unwrap();
        let command = { request }.next().unwrap().unwrap().0.to_owned();
        seen.lock().unwrap().push(command.clone());
        let bytes = match behaviour(&command, request) {
            Say::Reply(reply) => message(&id, &reply.to_bytes()),
            Say::WrongId(reply) => message(b"\xff\xff\0\0", &reply.to_bytes()),
            Say::Raw(mut bytes) => {
                if let Some(place) = bytes.get_mut(8..12) {
                    place.copy_from_slice(&id);
                }
                bytes
            }
            Say::Close => return,
            Say::Silence => continue,
        };
        if stream.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// A reply to the request `id`.
pub(super) fn message(id: &[u8], body: &[u8]) -> Vec<u8> {
    let size = u32::try_from(body.len() + 21).unwrap().to_le_bytes();
    [&size, b"\x09\0\0\0", id, b"\xdd\x07\0\0\0\0\0\0\0", body].concat()
}

/// What a server that belongs to no set says about itself.
pub(super) fn alone() -> Document {
    Document::new()
        .boolean("isWritablePrimary", true)
        .int32("maxWireVersion", 21)
        .double("ok", 1.0)
}

/// What a member of the set `rs` says.
pub(super) fn member(is_primary: bool, members: &[String], primary: Option<&str>) -> Document {
    let mut hosts = Document::new();
    for (index, host) in members.iter().enumerate() {
        hosts = hosts.text(&index.to_string(), host);
    }
    let mut hello = alone_but(is_primary)
        .text("setName", "rs")
        .array("hosts", &hosts);
    if let Some(primary) = primary {
        hello = hello.text("primary", primary);
    }
    hello
}

fn alone_but(is_primary: bool) -> Document {
    Document::new()
        .boolean("isWritablePrimary", is_primary)
        .boolean("secondary", !is_primary)
        .int32("maxWireVersion", 21)
        .double("ok", 1.0)
}

/// An error.
pub(super) fn error(code: i32, name: &str, text: &str) -> Document {
    Document::new()
        .double("ok", 0.0)
        .text("errmsg", text)
        .int32("code", code)
        .text("codeName", name)
}

/// A batch of what was found; a cursor that is not 0 has more.
pub(super) fn batch(name: &str, documents: &[Document], cursor: i64) -> Document {
    let mut list = Document::new();
    for (index, document) in documents.iter().enumerate() {
        list = list.document(&index.to_string(), document);
    }
    let cursor = Document::new()
        .array(name, &list)
        .int64("id", cursor)
        .text("ns", "mail.aliases");
    Document::new()
        .document("cursor", &cursor)
        .double("ok", 1.0)
}

/// A server that belongs to no set, needs no login and always finds these documents.
pub(super) fn finds(documents: Vec<Document>) -> impl Fn() -> Behaviour + Send + 'static {
    move || {
        let documents = documents.clone();
        Box::new(move |command, _| match command {
            "hello" => Say::Reply(alone()),
            "find" => Say::Reply(batch("firstBatch", &documents, 0)),
            other => panic!("{other}"),
        })
    }
}

/// The server's side of a login, with the user `us=er`.
pub(super) struct Gate {
    pub(super) mechanism: Mechanism,
    pub(super) password: &'static str,
    /// Whether the server ends with its proof, as from MongoDB 4.4 on.
    pub(super) is_short: bool,
    /// Whether the server knows the password; else it only says so.
    pub(super) has_proof: bool,
    pub(super) said: String,
    pub(super) is_proved: bool,
}

impl Gate {
    pub(super) fn new(mechanism: Mechanism, password: &'static str) -> Self {
        Self {
            mechanism,
            password,
            is_short: true,
            has_proof: true,
            said: String::new(),
            is_proved: false,
        }
    }

    /// Whether the client has logged in.
    pub(super) fn is_open(&self) -> bool {
        self.is_proved
    }

    /// Answers a step of the login.
    pub(super) fn step(&mut self, command: &str, request: Elements<'_>) -> Document {
        let Ok(Some(Element::Binary(payload))) = request.get("payload") else {
            panic!("no payload");
        };
        let payload = std::str::from_utf8(payload).unwrap();
        if command == "saslStart" {
            let mechanism = request.get_text("mechanism").unwrap().unwrap();
            if mechanism != self.mechanism.name() {
                return error(334, "MechanismUnavailable", "no such mechanism");
            }
            let bare = payload.strip_prefix("n,,").unwrap();
            let nonce = bare.strip_prefix("n=us=3Der,r=").unwrap();
            let first = format!("r={nonce}+more,s=c2FsdA==,i=4096");
            self.said = format!("{bare},{first}");
            return self.says(&first, false);
        }
        if self.is_proved {
            return self.says("", true);
        }
        let (unproved, proof) = payload.rsplit_once(",p=").unwrap();
        let password = self.mechanism.prepare("us=er", self.password).unwrap();
        let salted = self
            .mechanism
            .salted(&password, b"salt", NonZeroU32::new(4096).unwrap());
        let signed = format!("{},{unproved}", self.said);
        let client_key = self.mechanism.sign(&salted, b"Client Key");
        let stored = digest::digest(self.mechanism.digest(), client_key.as_ref());
        let signature = self.mechanism.sign(stored.as_ref(), signed.as_bytes());
        let proof = STANDARD.decode(proof).unwrap();
        let key: Vec<u8> = proof
            .iter()
            .zip(signature.as_ref())
            .map(|(a, b)| a ^ b)
            .collect();
        if key != client_key.as_ref() && self.has_proof {
            return error(18, "AuthenticationFailed", "Authentication failed.");
        }
        self.is_proved = true;
        let server_key = self.mechanism.sign(&salted, b"Server Key");
        let signature = self.mechanism.sign(server_key.as_ref(), signed.as_bytes());
        let proof = STANDARD.encode(signature);
        self.says(&format!("v={proof}"), self.is_short)
    }

    fn says(&self, payload: &str, is_done: bool) -> Document {
        Document::new()
            .int32("conversationId", 1)
            .boolean("done", is_done)
            .binary("payload", 0, payload.as_bytes())
            .double("ok", 1.0)
    }
}
