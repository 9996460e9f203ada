//! `smtp_generic_maps`: addresses as the outside world shall see them (generic(5)).

use bstr::{BStr, BString, ByteSlice};
use postern_dict::Maps;
use postern_dict::search::{Extensions, Form, find_address};
use postern_mail::{address, address_tree};
use postern_rewrite::LocalDomains;

use crate::trouble::Trouble;

/// The tables with the rules of their search.
pub struct Generic {
    maps: Maps,
    extensions: Extensions,
    /// Whether an extension that did not match is kept.
    propagate: bool,
    /// Domain of results without one.
    origin: String,
    local: LocalDomains,
}

impl Generic {
    /// Maps with their search rules; `propagate` keeps extensions that did not match.
    pub fn new(
        maps: Maps,
        extensions: Extensions,
        propagate: bool,
        origin: String,
        local: LocalDomains,
    ) -> Self {
        Self {
            maps,
            extensions,
            propagate,
            origin,
            local,
        }
    }

    /// Whether there is nothing to map.
    pub fn is_empty(&self) -> bool {
        self.maps.is_empty()
    }

    /// The mapped form of an address, both in internal form.
    ///
    /// # Errors
    ///
    /// A table that cannot be read.
    pub fn map_or_same(&mut self, internal: &BStr) -> Result<BString, Trouble> {
        Ok(self.map(internal)?.unwrap_or_else(|| internal.into()))
    }

    /// The mapped form of an address, both in internal form; `None` when no table has it.
    ///
    /// # Errors
    ///
    /// A table that cannot be read.
    pub fn map(&mut self, internal: &BStr) -> Result<Option<BString>, Trouble> {
        if self.maps.is_empty() || internal.is_empty() {
            return Ok(None);
        }
        let local = &mut self.local;
        let mut is_local = |domain: &BStr| local.has_bare_names(domain);
        let found = find_address(
            &mut self.maps,
            internal,
            Form::External,
            &self.extensions,
            &mut is_local,
        )
        .map_err(|_| Trouble::Data)?;
        let Some(found) = found else { return Ok(None) };
        let nodes = address_tree::parse(found.value.as_bstr(), 0);
        let mut values = address_tree::addresses(&nodes).map(|address| address.external());
        let Some(value) = values.next() else {
            log::warn!(
                "{} lookup of {internal} returns non-address result \"{}\"",
                self.maps.title(),
                found.value
            );
            return Err(Trouble::Data);
        };
        if values.next().is_some() {
            log::warn!("multi-valued {} result for {internal}", self.maps.title());
        }
        let mut mapped: BString = if value.starts_with(b"@") {
            let (local_part, _) = address::split(internal);
            [local_part.as_bytes(), &value].concat().into()
        } else {
            let value = address::unquote(value.as_bstr());
            if value.contains(&b'@') {
                value
            } else {
                [value.as_bytes(), b"@", self.origin.as_bytes()]
                    .concat()
                    .into()
            }
        };
        if let Some(extension) = found
            .extension
            .filter(|_| self.propagate && !value.starts_with(b"@"))
        {
            mapped = address::append_extension(mapped.as_bstr(), &extension);
        }
        Ok(Some(mapped))
    }
}

#[cfg(test)]
mod tests {
    use postern_config::Config;
    use postern_dict::Flags;

    use super::*;

    #[test]
    fn the_first_of_several_addresses_counts() {
        let config = Config::from_text("mydestination = example.test\n").unwrap();
        let table = "inline:{{a@x=b@y},{c@x=d e@y},{f@x=\"g h\"@y},{@z=@y},{n@x=,}}";
        let maps = Maps::open(&config, "smtp_generic_maps", table, Flags::default());
        let mut generic = Generic::new(
            maps,
            Extensions::from_config(&config),
            true,
            "example.test".to_owned(),
            LocalDomains::new(&config),
        );
        for (address, want) in [
            ("a@x", Some("b@y")),
            ("c@x", Some("d@example.test")),
            ("f@x", Some("g h@y")),
            ("i j@z", Some("i j@y")),
            ("q@x", None),
        ] {
            let mapped = generic.map(address.into()).unwrap();
            assert_eq!(mapped, want.map(BString::from), "{address}");
        }
        assert!(generic.map("n@x".into()).is_err());
    }
}
