//! Kept sessions: the client of scache(8), and what is written on the labels (smtp-client.md §7).

use std::os::fd::OwnedFd;
use std::time::Duration;

use base64::Engine;
use bstr::{BStr, BString, ByteSlice};
use postern_attr::{Encoding, Extra};
use postern_ipc::client::{self, ClientError, Endpoint, PRIVATE, Persistent};
use postern_ipc::{StatusReply, scache};
use serde::{Deserialize, Serialize};

/// A session taken from the cache.
#[derive(Debug)]
pub struct Kept {
    /// The connection.
    pub socket: OwnedFd,
    /// What is known of it.
    pub endpoint: EndpointProperties,
    /// What is known of the destination; by destination only.
    pub destination: Option<DestinationProperties>,
}

/// Properties of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointProperties {
    /// TLS level of the session.
    pub tls_level: i32,
    /// How often it was used before.
    pub reuse_count: i32,
    /// What the server offers.
    pub endpoint_features: i64,
    /// When it must not be used any more.
    pub expire_time: i64,
    /// SIZE limit.
    pub size_limit: i64,
}

/// Properties of a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationProperties {
    /// Next hop as requested.
    pub destination: BString,
    /// Host name.
    pub host_name: BString,
    /// Host address.
    pub host_addr: BString,
    /// Port; 0 for a UNIX socket.
    pub host_port: i32,
    /// Bit 1: the host has the best preference of the destination.
    pub destination_features: i32,
}

/// Client of the connection cache. All failures are silent: a cache is only an aid.
#[derive(Debug)]
pub struct Cache {
    link: Persistent,
}

#[derive(Serialize)]
struct SaveEndpoint<'a> {
    request: &'a str,
    ttl: i32,
    label: &'a BStr,
    property: BString,
}

#[derive(Serialize)]
struct SaveDestination<'a> {
    request: &'a str,
    ttl: i32,
    label: &'a BStr,
    property: BString,
    #[serde(rename = "label")]
    endpoint: &'a BStr,
}

#[derive(Serialize)]
struct Find<'a> {
    request: &'a str,
    label: &'a BStr,
}

/// A label: fields with a line feed after each.
pub fn label(fields: &[&[u8]]) -> BString {
    let mut label = BString::default();
    for field in fields {
        if field.is_empty() {
            label.push(b'*');
        } else if field.contains(&b'\n') || field.contains(&b'*') {
            label.extend_from_slice(
                base64::engine::general_purpose::STANDARD
                    .encode(field)
                    .as_bytes(),
            );
        } else {
            label.extend_from_slice(field);
        }
        label.push(b'\n');
    }
    label
}

impl Cache {
    /// A client of the service with this name.
    pub fn new(service: &str, timeout: Duration) -> Self {
        let at = Endpoint::new(PRIVATE, service);
        Self {
            link: Persistent::new(at, scache::PROTOCOL, Encoding::Null, timeout, None),
        }
    }

    /// Takes a session to this destination out of the cache.
    pub fn find_destination(&mut self, label: &BStr) -> Option<Kept> {
        let request = Find {
            request: "find_dest",
            label,
        };
        let reply: scache::FindDestinationReply = self.ask(&request)?;
        if reply.status != scache::status::OK {
            return None;
        }
        let socket = self.take_socket()?;
        let endpoint = parse(&reply.endpoint_property)?;
        let destination = parse(&reply.property)?;
        Some(Kept {
            socket,
            endpoint,
            destination: Some(destination),
        })
    }

    /// Takes a session with this endpoint out of the cache.
    pub fn find_endpoint(&mut self, label: &BStr) -> Option<Kept> {
        let request = Find {
            request: "find_endp",
            label,
        };
        let reply: scache::FindEndpointReply = self.ask(&request)?;
        if reply.status != scache::status::OK {
            return None;
        }
        let socket = self.take_socket()?;
        Some(Kept {
            socket,
            endpoint: parse(&reply.property)?,
            destination: None,
        })
    }

    /// Puts a session into the cache under both labels. The caller closes its own copy.
    pub fn save(
        &mut self,
        ttl: i32,
        socket: &OwnedFd,
        endpoint: (&BStr, &EndpointProperties),
        destination: Option<(&BStr, &DestinationProperties)>,
    ) {
        if let Some((label, properties)) = destination {
            let request = SaveDestination {
                request: "save_dest",
                ttl,
                label,
                property: text(properties),
                endpoint: endpoint.0,
            };
            let saved: Option<StatusReply> = self.ask(&request);
            if saved.is_none() {
                return;
            }
        }
        self.save_endpoint(ttl, socket, endpoint.0, endpoint.1);
    }

    fn save_endpoint(
        &mut self,
        ttl: i32,
        socket: &OwnedFd,
        label: &BStr,
        properties: &EndpointProperties,
    ) {
        let request = SaveEndpoint {
            request: "save_endp",
            ttl,
            label,
            property: text(properties),
        };
        let ready: Option<scache::Dummy> = self.ask(&request);
        if ready.is_none() {
            return;
        }
        let at = self.link.endpoint().clone();
        let result = (|| -> Result<i32, ClientError> {
            let channel = self.link.channel()?;
            postern_sys::fdpass::send_fd(&*channel, socket)
                .map_err(|error| exchange(&at, error))?;
            let reply: StatusReply = client::receive(channel, &at, Encoding::Null, Extra::Refuse)?;
            Ok(reply.status)
        })();
        // A session that was not taken is lost with the caller's copy; that is all.
        let _ = self.settle(result);
    }

    fn take_socket(&mut self) -> Option<OwnedFd> {
        let at = self.link.endpoint().clone();
        let result = (|| -> Result<OwnedFd, ClientError> {
            let channel = self.link.channel()?;
            client::send(channel, &at, Encoding::Null, &scache::Dummy::default())?;
            let socket =
                postern_sys::fdpass::recv_fd(&*channel).map_err(|error| exchange(&at, error))?;
            // The server waits for this before it lets go of its own copy.
            client::send(channel, &at, Encoding::Null, &scache::Dummy::default())?;
            Ok(socket)
        })();
        self.settle(result)
    }

    fn ask<Q: Serialize, R: serde::de::DeserializeOwned>(&mut self, request: &Q) -> Option<R> {
        let result = self.link.ask(request, Extra::Refuse);
        self.settle(result)
    }

    fn settle<T>(&mut self, result: Result<T, ClientError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                log::warn!(
                    "problem talking to server {}: {error}",
                    self.link.endpoint().label()
                );
                self.link.close();
                None
            }
        }
    }
}

fn exchange(at: &Endpoint, error: std::io::Error) -> ClientError {
    ClientError::Exchange {
        path: format!("{} socket", at.label()),
        error: error.into(),
    }
}

fn text<T: Serialize>(properties: &T) -> BString {
    let mut out = Vec::new();
    // Writing numbers and names to memory cannot fail.
    let _ = postern_attr::write(&mut out, Encoding::Plain, properties);
    out.into()
}

fn parse<T: serde::de::DeserializeOwned>(text: &BString) -> Option<T> {
    postern_attr::read(&mut text.as_bytes(), Encoding::Plain, Extra::Skip).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_protect_their_delimiters() {
        assert_eq!(
            label(&[b"smtp", b"[127.0.0.1]:2530"]),
            "smtp\n[127.0.0.1]:2530\n"
        );
        assert_eq!(label(&[b"", b"a*b", b"x"]), "*\nYSpi\nx\n");
    }

    #[test]
    fn properties_survive_their_text_form() {
        let endpoint = EndpointProperties {
            tls_level: 1,
            reuse_count: 2,
            endpoint_features: 77,
            expire_time: 1_795_353_758,
            size_limit: 5,
        };
        let written = text(&endpoint);
        assert!(written.starts_with(
            b"tls_level=1\nreuse_count=2\nendpoint_features=77\nexpire_time=1795353758\n"
        ));
        assert_eq!(parse(&written), Some(endpoint));
        assert_eq!(parse::<EndpointProperties>(&"tls_level=x\n\n".into()), None);
    }
}
