//! The command's arguments: macros stand for facts of the request, and some of them for each recipient's
//! own.

use bstr::{BStr, BString, ByteSlice};
use postern_config::expand::{Piece, pieces};
use postern_config::lines::{to_bytes, to_text};
use postern_dict::search::Extensions;
use postern_ipc::deliver::{Recipient, Request};
use postern_mail::address;

use crate::attributes::{Attributes, Flags};

/// Why the arguments cannot be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadArgument {
    /// A macro that there is not.
    UnknownMacro(String),
    /// A reference that does not end, or has no name; the text of the warning.
    Syntax(String),
}

/// A macro that depends on the recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PerRecipient {
    Recipient,
    OriginalRecipient,
    User,
    Extension,
    Mailbox,
    Domain,
}

/// A part of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(BString),
    Recipient(PerRecipient),
}

/// A recipient and its parts, as the flags want them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Address {
    recipient: BString,
    original: BString,
    user: BString,
    extension: BString,
    mailbox: BString,
    domain: BString,
}

/// The argument vector for a request. An argument with a macro of recipients is repeated for each
/// recipient; one with `$user` is left out for recipients without.
pub(crate) fn expand(
    attributes: &Attributes,
    request: &Request,
    recipients: &[Recipient],
    extensions: &Extensions,
) -> Result<Vec<BString>, Vec<BadArgument>> {
    let flags = attributes.flags;
    let addresses: Vec<Address> = recipients
        .iter()
        .map(|recipient| Address::of(recipient, flags, extensions))
        .collect();
    let mut argv = Vec::with_capacity(attributes.argv.len());
    for argument in &attributes.argv {
        let parts = parse(argument.as_bstr(), |name| {
            of_request(name, attributes, request)
        })?;
        if parts.iter().any(|part| matches!(part, Part::Recipient(_))) {
            argv.extend(addresses.iter().filter_map(|address| fill(&parts, address)));
        } else {
            argv.extend(fill(&parts, &Address::default()));
        }
    }
    Ok(argv)
}

/// The parts of an argument, or all that is wrong with it.
fn parse(
    argument: &BStr,
    of_request: impl Fn(&str) -> Option<BString>,
) -> Result<Vec<Part>, Vec<BadArgument>> {
    let text = to_text(argument);
    let (mut parts, mut bad) = (Vec::new(), Vec::new());
    for piece in pieces(&text) {
        match piece {
            Err(text) => bad.push(BadArgument::Syntax(text)),
            Ok(Piece::Literal(literal)) => parts.push(Part::Text(to_bytes(literal).into())),
            Ok(Piece::Name(name) | Piece::Group(name)) => {
                let part = PerRecipient::from_name(name)
                    .map(Part::Recipient)
                    .or_else(|| of_request(name).map(Part::Text));
                match part {
                    Some(part) => parts.push(part),
                    None => bad.push(BadArgument::UnknownMacro(name.to_owned())),
                }
            }
        }
    }
    if bad.is_empty() { Ok(parts) } else { Err(bad) }
}

/// The argument for one recipient.
fn fill(parts: &[Part], address: &Address) -> Option<BString> {
    let mut out = BString::default();
    for part in parts {
        let value = match part {
            Part::Text(text) => text,
            Part::Recipient(PerRecipient::User) if address.user.is_empty() => return None,
            Part::Recipient(which) => address.part(*which),
        };
        out.extend_from_slice(value);
    }
    Some(out)
}

/// A macro of the whole request.
fn of_request(name: &str, attributes: &Attributes, request: &Request) -> Option<BString> {
    let flags = attributes.flags;
    Some(match name {
        "sender" => {
            let sender = shown_sender(attributes, request);
            if flags.quote {
                address::quote(sender)
            } else {
                sender.to_owned()
            }
        }
        "nexthop" if flags.fold_domain => address::fold_case(request.nexthop.as_bstr()),
        "nexthop" => request.nexthop.clone(),
        "size" => request.size.to_string().into(),
        "queue_id" => request.queue_id.as_str().into(),
        "envid" => request.envelope_id.clone(),
        "client_address" => request.log_client_address.clone(),
        "client_hostname" => request.log_client_name.clone(),
        "client_port" => request.log_client_port.clone(),
        "client_protocol" => request.log_protocol_name.clone(),
        "client_helo" => request.log_helo_name.clone(),
        "sasl_method" => request.sasl_method.clone(),
        "sasl_username" => request.sasl_username.clone(),
        "sasl_sender" => request.sasl_sender.clone(),
        _ => return None,
    })
}

/// The sender, or what stands for the null sender.
pub(crate) fn shown_sender<'a>(attributes: &'a Attributes, request: &'a Request) -> &'a BStr {
    if request.sender.is_empty() {
        attributes.null_sender.as_bstr()
    } else {
        request.sender.as_bstr()
    }
}

impl PerRecipient {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "recipient" => Self::Recipient,
            "original_recipient" => Self::OriginalRecipient,
            "user" => Self::User,
            "extension" => Self::Extension,
            "mailbox" => Self::Mailbox,
            "domain" => Self::Domain,
            _ => return None,
        })
    }
}

impl Address {
    fn of(recipient: &Recipient, flags: Flags, extensions: &Extensions) -> Self {
        let whole = fold(recipient.recipient.as_bstr(), flags);
        let (mailbox, domain) = address::split(whole.as_bstr());
        let split = address::split_extension(
            mailbox,
            &extensions.delimiters,
            extensions.owner_request_special,
        );
        let (user, extension) = split.unwrap_or((mailbox, "".into()));
        Self {
            user: user.to_owned(),
            extension: extension.to_owned(),
            mailbox: mailbox.to_owned(),
            domain: domain.unwrap_or_default().to_owned(),
            original: quote(fold(recipient.original_recipient.as_bstr(), flags), flags),
            recipient: quote(whole.clone(), flags),
        }
    }

    fn part(&self, which: PerRecipient) -> &BString {
        match which {
            PerRecipient::Recipient => &self.recipient,
            PerRecipient::OriginalRecipient => &self.original,
            PerRecipient::User => &self.user,
            PerRecipient::Extension => &self.extension,
            PerRecipient::Mailbox => &self.mailbox,
            PerRecipient::Domain => &self.domain,
        }
    }
}

fn quote(address: BString, flags: Flags) -> BString {
    if flags.quote {
        address::quote(address.as_bstr())
    } else {
        address
    }
}

/// Lower case for the parts of an internal address that the flags name.
fn fold(address: &BStr, flags: Flags) -> BString {
    let fold_if = |wanted: bool, part: &BStr| {
        if wanted {
            address::fold_case(part)
        } else {
            part.to_owned()
        }
    };
    let (local, domain) = address::split(address);
    let mut out = fold_if(flags.fold_local, local);
    if let Some(domain) = domain {
        out.push(b'@');
        out.extend_from_slice(&fold_if(flags.fold_domain, domain));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_attr::Data;

    fn request() -> Request {
        Request {
            flags: 3,
            queue_name: "active".into(),
            queue_id: "A1".into(),
            offset: 0,
            size: 310,
            nexthop: "Next.Hop".into(),
            encoding: "".into(),
            smtputf8: 0,
            sender: "odd one@x".into(),
            envelope_id: "e1".into(),
            ret_flags: 0,
            time: Data(Vec::new()),
            log_client_name: "client".into(),
            log_client_address: "192.0.2.1".into(),
            log_client_port: "25".into(),
            log_protocol_name: "ESMTP".into(),
            log_helo_name: "helo".into(),
            sasl_method: "PLAIN".into(),
            sasl_username: "".into(),
            sasl_sender: "".into(),
            log_ident: "".into(),
            rewrite_context: "local".into(),
            recipient_count: 1,
        }
    }

    /// The arguments for some recipients, each with its original.
    fn arguments(
        argv: &[&str],
        flags: &str,
        recipients: &[(&str, &str)],
    ) -> Result<Vec<BString>, Vec<BadArgument>> {
        let words = [format!("flags={flags}"), "user=root".to_owned()];
        let words = words.into_iter().map(BString::from);
        let argv = argv.iter().enumerate().map(|(at, word)| {
            BString::from(if at == 0 {
                format!("argv={word}")
            } else {
                (*word).to_owned()
            })
        });
        let attributes =
            Attributes::parse(&words.chain(argv).collect::<Vec<_>>()).expect("attributes");
        let recipients: Vec<Recipient> = recipients
            .iter()
            .map(|(recipient, original)| Recipient {
                recipient: (*recipient).into(),
                original_recipient: (*original).into(),
                ..Recipient::default()
            })
            .collect();
        let extensions = Extensions {
            delimiters: "+".into(),
            owner_request_special: true,
        };
        expand(&attributes, &request(), &recipients, &extensions)
    }

    #[test]
    fn macros_of_recipients_repeat_their_argument() {
        let two = &[("B+Ext@Many.Example", "orig@x"), ("sp ace@m", "sp ace@m")];
        for (argument, flags, want) in [
            ("${recipient}", "", &["B+Ext@Many.Example", "sp ace@m"][..]),
            ("$recipient", "q", &["B+Ext@Many.Example", "\"sp ace\"@m"]),
            ("$recipient", "h", &["B+Ext@many.example", "sp ace@m"]),
            ("$recipient", "u", &["b+ext@Many.Example", "sp ace@m"]),
            (
                "<$(original_recipient)>",
                "q",
                &["<orig@x>", "<\"sp ace\"@m>"],
            ),
            ("$user/$extension", "", &["B/Ext", "sp ace/"]),
            ("$user/$extension", "uq", &["b/ext", "sp ace/"]),
            ("x${mailbox}x", "", &["xB+Extx", "xsp acex"]),
            ("$domain", "h", &["many.example", "m"]),
            ("$sender", "", &["odd one@x"]),
            ("$sender", "q", &["\"odd one\"@x"]),
            ("${sender}$extension", "", &["odd one@xExt", "odd one@x"]),
            ("$nexthop", "", &["Next.Hop"]),
            ("$nexthop", "h", &["next.hop"]),
            ("$size $queue_id ${envid}", "", &["310 A1 e1"]),
            (
                "$client_address $client_hostname",
                "",
                &["192.0.2.1 client"],
            ),
            (
                "$client_port $client_protocol $client_helo",
                "",
                &["25 ESMTP helo"],
            ),
            (
                "x${sasl_method}${sasl_username}${sasl_sender}y",
                "",
                &["xPLAINy"],
            ),
            ("$$user", "", &["$user"]),
            ("", "", &[""]),
        ] {
            let found = arguments(&[argument, "end"], flags, two).expect(argument);
            let (end, found) = found.split_last().expect("an end");
            assert_eq!(
                (found, end.as_slice()),
                (
                    &want.iter().map(|w| BString::from(*w)).collect::<Vec<_>>()[..],
                    &b"end"[..]
                ),
                "{argument} {flags}"
            );
        }
    }

    #[test]
    fn odd_recipients_have_odd_parts() {
        let parts = ["$user", "$extension", "$mailbox", "$domain", "$recipient"];
        for (recipient, flags, want) in [
            ("@a.example", "", &["", "", "a.example", "@a.example"][..]),
            ("@a.example", "q", &["", "", "a.example", "\"\"@a.example"]),
            ("+x@a", "", &["+x", "", "+x", "a", "+x@a"]),
            (
                "postmaster@a",
                "",
                &["postmaster", "", "postmaster", "a", "postmaster@a"],
            ),
            ("A+B+C@a", "", &["A", "B+C", "A+B+C", "a", "A+B+C@a"]),
            ("a@b@C", "uhq", &["a@b", "", "a@b", "c", "\"a@b\"@c"]),
            (
                "\u{dc}+\u{c4}@x",
                "u",
                &["\u{fc}", "\u{e4}", "\u{fc}+\u{e4}", "x", "\u{fc}+\u{e4}@x"],
            ),
            ("Bare", "h", &["Bare", "", "Bare", "", "Bare"]),
        ] {
            let found = arguments(&parts, flags, &[(recipient, recipient)]).expect(recipient);
            assert_eq!(found, want, "{recipient}");
        }
    }

    #[test]
    fn bad_references_are_named() {
        let unknown = |name: &str| BadArgument::UnknownMacro(name.to_owned());
        let syntax = |text: &str| BadArgument::Syntax(text.to_owned());
        for (argument, want) in [
            ("${sasl_username?yes}", unknown("sasl_username?yes")),
            ("${domain?{a}:{b}}", unknown("domain?{a}:{b}")),
            ("$user_x", unknown("user_x")),
            ("${User}", unknown("User")),
            ("${ user }", unknown(" user ")),
            ("${{user}}", unknown("{user}")),
            ("$1", unknown("1")),
            ("${user}$nope", unknown("nope")),
            ("${}", syntax("empty macro name: \"${}\"")),
            ("x$", syntax("empty macro name: \"x$\"")),
            ("$-", syntax("empty macro name: \"$-\"")),
            (
                "${domain end",
                syntax("truncated macro reference: \"${domain end\""),
            ),
            (
                "$(domain}",
                syntax("truncated macro reference: \"$(domain}\""),
            ),
        ] {
            assert_eq!(
                arguments(&["x", argument, "$later"], "", &[("a@b", "a@b")]),
                Err(vec![want]),
                "{argument}"
            );
        }
        let all = vec![
            unknown("a"),
            unknown("b"),
            syntax("empty macro name: \"$a$b x$\""),
        ];
        assert_eq!(arguments(&["$a$b x$"], "", &[]), Err(all));
    }

    #[test]
    fn bytes_that_are_no_text_arrive_as_they_are() {
        let parts = parse(BStr::new(b"\xff$user\xc3"), |_| None).expect("a good reference");
        let address = Address {
            user: BString::from(&b"\xfe"[..]),
            ..Address::default()
        };
        assert_eq!(
            fill(&parts, &address),
            Some(BString::from(&b"\xff\xfe\xc3"[..]))
        );
    }
}
