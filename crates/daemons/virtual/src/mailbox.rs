//! Finding a virtual mailbox in the tables, and writing to it.

use std::path::PathBuf;

use bstr::{BStr, BString, ByteSlice};
use postern_delivery::copy::CopyOptions;
use postern_delivery::mbox::Mbox;
use postern_delivery::{Delivery, maildir};
use postern_dict::Maps;
use postern_dict::search::{Form, find_address};
use postern_ipc::deliver::Recipient;
use postern_mail::address;
use postern_sys::user;
use std::os::unix::fs::MetadataExt;

use crate::{Failure, Mailbox, Search, Tables, Virtual};

/// Default status of errors that have none of their own.
const DEFAULT_STATUS: &str = "4.2.0";

pub(crate) fn locate(
    tables: &mut Tables,
    base: &str,
    minimum_uid: u32,
    recipient: &BStr,
) -> Result<Mailbox, Failure> {
    let key = address::fold_case(recipient);
    let search = &mut tables.search;
    let found = find(&mut tables.mailbox, search, key.as_bstr()).inspect_err(|_| {
        let table = tables.mailbox.title();
        log::warn!("table {table}: lookup {key}: Application error");
    })?;
    let Some(name) = found else {
        return Err(Failure::new(
            "5.1.1",
            format!("unknown user: \"{recipient}\""),
        ));
    };
    let text = name.to_str().map_err(|_| Failure::configuration())?;
    let path = PathBuf::from(format!("{base}/{text}"));
    let uid = id(
        &mut tables.uid,
        search,
        "uid",
        (recipient, key.as_bstr()),
        minimum_uid,
    )?;
    let gid = id(
        &mut tables.gid,
        search,
        "gid",
        (recipient, key.as_bstr()),
        1,
    )?;
    Ok(Mailbox {
        path,
        is_maildir: text.ends_with('/'),
        uid,
        gid,
    })
}

fn find(maps: &mut Maps, search: &mut Search, key: &BStr) -> Result<Option<BString>, Failure> {
    let domains = &mut search.domains;
    let found = find_address(
        maps,
        key,
        Form::External,
        &search.extensions,
        &mut |domain| domains.has_bare_names(domain),
    );
    match found {
        Ok(found) => Ok(found.map(|found| found.value)),
        // The table that failed has been named in the log already.
        Err(_) => Err(Failure::configuration()),
    }
}

/// A numeric ID of at least `minimum`; anything else is the operator's mistake, never the sender's.
fn id(
    maps: &mut Maps,
    search: &mut Search,
    what: &str,
    (recipient, key): (&BStr, &BStr),
    minimum: u32,
) -> Result<u32, Failure> {
    let table = maps.title().to_owned();
    // A table that failed says nothing, either; its own complaint stands in the log before this one.
    let Ok(Some(text)) = find(maps, search, key) else {
        log::warn!("recipient {recipient}: not found in {table}");
        return Err(Failure::configuration());
    };
    let value = text
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok());
    match value {
        Some(value) if value >= minimum => Ok(value),
        _ => {
            log::warn!("recipient {recipient}: bad {what} {text} in {table}");
            Err(Failure::configuration())
        }
    }
}

pub(crate) fn store_maildir(
    agent: &Virtual,
    delivery: &Delivery,
    recipient: &Recipient,
    mailbox: &Mailbox,
) -> Result<&'static str, Failure> {
    let options = CopyOptions::maildir(Some(recipient.recipient.clone()), agent.original_to);
    maildir::deliver(
        delivery,
        recipient,
        &mailbox.path,
        mailbox.uid,
        mailbox.gid,
        &options,
    )
    .map(|()| "delivered to maildir")
    .map_err(|error| Failure::new(error.status(DEFAULT_STATUS), error.to_string()))
}

pub(crate) fn store_mbox(
    agent: &Virtual,
    delivery: &Delivery,
    recipient: &Recipient,
    mailbox: &Mailbox,
) -> Result<&'static str, Failure> {
    let result = user::as_user(mailbox.uid, mailbox.gid, || {
        append(agent, delivery, recipient, mailbox)
    });
    result.unwrap_or_else(|error| {
        Err(Failure::new(
            "4.3.0",
            format!(
                "cannot become the mailbox owner: {}",
                postern_sys::error_text(&error)
            ),
        ))
    })
}

fn append(
    agent: &Virtual,
    delivery: &Delivery,
    recipient: &Recipient,
    mailbox: &Mailbox,
) -> Result<&'static str, Failure> {
    let path = mailbox.path.display();
    let failed = |error: postern_delivery::mbox::MboxError| {
        Failure::new(
            error.status(DEFAULT_STATUS),
            format!("delivery failed to mailbox {path}: {error}"),
        )
    };
    let mbox = Mbox::open(&mailbox.path, &agent.locks, true).map_err(failed)?;
    let status = mbox
        .metadata()
        .map_err(|error| Failure::new("4.3.0", postern_sys::error_text(&error)))?;
    if !status.is_file() {
        log::warn!(
            "recipient {}: destination {path} is not a regular file",
            recipient.recipient
        );
        return Err(Failure::new("5.3.5", "mail system configuration error"));
    }
    if agent.strict_ownership && status.uid() != mailbox.uid {
        log::warn!(
            "specify \"strict_mailbox_ownership = no\" to ignore mailbox ownership mismatch"
        );
        return Err(Failure::new(
            "4.2.0",
            format!(
                "delivery failed to mailbox {path}: destination {path} is not owned by recipient"
            ),
        ));
    }
    let options = CopyOptions::mbox(Some(recipient.recipient.clone()), agent.original_to);
    mbox.append(delivery, recipient, &options, agent.size_limit)
        .map_err(failed)?;
    Ok("delivered to mailbox")
}
