//! One address on its way through aliases and `.forward` files, with what it carries along.

use bstr::{BStr, BString, ByteSlice};
use postern_dict::search::Extensions;
use postern_ipc::deliver::Recipient;
use postern_mail::address;

/// Where an address was named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the delivery request.
    Request,
    /// In an alias table.
    Alias,
    /// In a `.forward` file.
    Forward,
    /// In an `:include:` file.
    Include,
    /// By `luser_relay`.
    LuserRelay,
}

/// What one more expansion adds to the nesting level, so that 25 of them reach [`LEVEL_LIMIT`].
pub(crate) const LEVEL_STEP: u32 = 4;
/// Nesting level at which aliases must go in circles.
pub(crate) const LEVEL_LIMIT: u32 = 100;

/// An address with its envelope and its history.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    /// Address, original address and DSN parameters.
    pub(crate) recipient: Recipient,
    /// Envelope sender, internal form.
    pub(crate) sender: BString,
    /// DSN envelope ID.
    pub(crate) envelope_id: BString,
    /// DSN RET.
    pub(crate) ret_flags: i32,
    /// What `Delivered-To:` says.
    pub(crate) delivered_to: BString,
    /// The parts of the address.
    pub(crate) parts: Parts,
    /// Who answers for the list that names this address: a user, or the address of a list owner.
    pub(crate) owner: Option<BString>,
    /// Alias or user whose expansion gave this address.
    pub(crate) expanded_from: Option<BString>,
    /// Where the address was named.
    pub(crate) source: Source,
    /// Depth of expansions.
    pub(crate) level: u32,
    /// Extension, with its delimiter, that no alias or `.forward` file has used up.
    pub(crate) unmatched: Option<BString>,
}

/// `user+extension@domain`, case-folded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// Everything left of the last `@`.
    pub(crate) local: BString,
    /// Without extension.
    pub(crate) user: BString,
    /// Without delimiter.
    pub(crate) extension: Option<BString>,
    /// The delimiter between user and extension.
    pub(crate) delimiter: Option<u8>,
    /// Right of the last `@`.
    pub(crate) domain: Option<BString>,
}

impl Parts {
    /// Takes an address in internal form apart.
    pub(crate) fn of(recipient: &BStr, extensions: &Extensions) -> Self {
        let folded = address::fold_case(recipient);
        let (local, domain) = address::split(folded.as_bstr());
        let domain = domain.map(ToOwned::to_owned);
        let local = local.to_owned();
        match address::split_extension(
            local.as_bstr(),
            &extensions.delimiters,
            extensions.owner_request_special,
        ) {
            Some((user, extension)) => Self {
                user: user.to_owned(),
                extension: Some(extension.to_owned()),
                delimiter: local.get(user.len()).copied(),
                local,
                domain,
            },
            None => Self {
                user: local.clone(),
                local,
                extension: None,
                delimiter: None,
                domain,
            },
        }
    }

    /// The extension with its delimiter.
    pub(crate) fn suffix(&self) -> Option<BString> {
        let extension = self.extension.as_ref()?;
        let mut suffix = BString::from(self.delimiter.as_slice());
        suffix.extend_from_slice(extension);
        Some(suffix)
    }
}

/// Bits of [`Recipient::notify_flags`]: no report at all, and a report of success.
const NOTIFY_NEVER: i32 = 1;
const NOTIFY_SUCCESS: i32 = 2;

impl Mail {
    /// Whether the sender asked for a report of success.
    pub(crate) fn wants_success_report(&self) -> bool {
        self.recipient.notify_flags & NOTIFY_SUCCESS != 0
    }

    /// Somebody else reports success. Who asked for nothing else hears of nothing else: no request at
    /// all would ask for reports of failure.
    pub(crate) fn without_success_report(&mut self) {
        let flags = &mut self.recipient.notify_flags;
        if *flags & NOTIFY_SUCCESS != 0 {
            *flags &= !NOTIFY_SUCCESS;
            if *flags == 0 {
                *flags = NOTIFY_NEVER;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asked_for_success_reports_alone_gets_no_others() {
        let recipient = Recipient::default();
        let mut mail = Mail {
            recipient,
            sender: BString::default(),
            envelope_id: BString::default(),
            ret_flags: 0,
            delivered_to: BString::default(),
            parts: Parts::default(),
            owner: None,
            expanded_from: None,
            source: Source::Request,
            level: 0,
            unmatched: None,
        };
        for (flags, want) in [(0, 0), (1, 1), (2, 1), (2 | 4, 4), (2 | 8, 8), (4, 4)] {
            mail.recipient.notify_flags = flags;
            mail.without_success_report();
            assert_eq!(mail.recipient.notify_flags, want, "{flags}");
        }
    }

    #[test]
    fn address_is_folded_and_taken_apart() {
        let extensions = Extensions {
            delimiters: "+-".into(),
            owner_request_special: true,
        };
        let parts = |text: &str| Parts::of(text.into(), &extensions);
        let bob = parts("Bob-x+Y@Example.Test");
        assert_eq!(bob.local, "bob-x+y");
        assert_eq!(bob.suffix(), Some("-x+y".into()));
        assert_eq!(
            (bob.user.as_bstr(), bob.extension, bob.delimiter),
            ("bob".into(), Some("x+y".into()), Some(b'-'))
        );
        assert_eq!(bob.domain, Some("example.test".into()));
        assert_eq!(parts("bob+@x").suffix(), Some("+".into()));
        assert_eq!(parts("bob").domain, None);
        assert_eq!(parts("owner-list@x").user, "owner-list");
    }
}
