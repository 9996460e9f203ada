//! `nis:map`: NIS for hosts that are in no NIS domain.
//!
//! The type exists because Debian's default `alias_maps` names it; on a host without NIS domain, which is
//! every host that has not set NIS up, each lookup is a miss, as with Postfix. NIS itself is not spoken: with
//! a domain name set, lookups fail and mail waits, so that nothing is bounced for want of a table.

use bstr::BStr;

use crate::{Flags, Lookup, LookupError, OpenError, OpenMode, Owner, Table};

struct Nis {
    name: String,
    flags: Flags,
    /// Whether the host belongs to a NIS domain.
    in_domain: bool,
}

/// Opens `nis:name`.
pub(crate) fn open(name: &str, mode: OpenMode, flags: Flags) -> Result<Box<dyn Table>, OpenError> {
    crate::simple::read_only("nis", name, mode)?;
    let in_domain = nix::sys::utsname::uname().is_ok_and(|host| {
        let domain = host.domainname();
        !domain.is_empty() && domain != "(none)"
    });
    if !in_domain {
        log::warn!("dict_nis_init: NIS domain name not set - NIS lookups disabled");
    }
    Ok(Box::new(Nis {
        name: format!("nis:{name}"),
        flags: flags | Flags::FIXED,
        in_domain,
    }))
}

impl Table for Nis {
    fn name(&self) -> &str {
        &self.name
    }
    fn flags(&self) -> Flags {
        self.flags
    }
    fn lookup(&mut self, _key: &BStr) -> Lookup {
        if self.in_domain {
            return Err(LookupError::retry(
                self.name.clone(),
                "NIS lookups are not supported",
            ));
        }
        Ok(None)
    }
    fn owner(&self) -> Owner {
        Owner::Trusted
    }
}
