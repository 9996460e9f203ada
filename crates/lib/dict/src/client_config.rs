//! Settings of database clients: a file of `name = value` lines, or parameters `NAME_name` of main.cf.
//!
//! Knows no parameter by itself. Source: tables.md §7.1 of the specification.

use bstr::{BString, ByteSlice};
use postern_config::Config;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use crate::lines::{LogicalLines, is_space, trim};
use crate::{OpenError, Owner, io_text, shown};

enum Place<'a> {
    File(HashMap<String, BString>),
    /// The parameters' names begin with the table's name and `_`.
    MainCf(&'a Config),
}

/// The settings of one table.
pub(crate) struct ClientConfig<'a> {
    name: &'a str,
    place: Place<'a>,
    owner: Owner,
}

impl<'a> ClientConfig<'a> {
    /// Reads the settings of `name`: a path when it begins with `/` or `.`, else a prefix.
    pub(crate) fn open(config: &'a Config, name: &'a str) -> Result<Self, OpenError> {
        if name.starts_with(['/', '.']) {
            let (values, owner) = read_file(name)?;
            return Ok(Self {
                name,
                place: Place::File(values),
                owner,
            });
        }
        let main_cf = std::fs::metadata(config.main_cf());
        Ok(Self {
            name,
            place: Place::MainCf(config),
            owner: main_cf.map_or(Owner::Unknown, |status| Owner::of_uid(status.uid())),
        })
    }

    /// Who may be blamed for the settings.
    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    /// What is set, if anything.
    pub(crate) fn get(&self, parameter: &str) -> Option<BString> {
        match &self.place {
            Place::File(values) => values.get(parameter).cloned(),
            Place::MainCf(config) => {
                let name = format!("{}_{parameter}", self.name);
                config.lookup(&name).map(BString::from)
            }
        }
    }

    /// A text of any length.
    pub(crate) fn bytes(&self, parameter: &str, default: &str) -> BString {
        self.get(parameter)
            .unwrap_or_else(|| BString::from(default))
    }

    /// As [`ClientConfig::bytes`], for values that go on as text.
    pub(crate) fn string(&self, parameter: &str, default: &str) -> Result<String, OpenError> {
        let value = self.bytes(parameter, default);
        match value.to_str() {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(OpenError(format!(
                "{}non-UTF-8 value: {} = {}",
                self.prefix(),
                self.full_name(parameter),
                shown(&value)
            ))),
        }
    }

    /// A text that may not be empty.
    pub(crate) fn required(&self, parameter: &str) -> Result<String, OpenError> {
        let value = self.string(parameter, "")?;
        if value.is_empty() {
            return Err(OpenError(format!(
                "{}bad string length 0 < 1: {} = ",
                self.prefix(),
                self.full_name(parameter)
            )));
        }
        Ok(value)
    }

    /// A number of at least `min`, which is not negative.
    #[cfg(any(feature = "memcache", feature = "redis"))]
    pub(crate) fn count(&self, parameter: &str, default: i32, min: i32) -> Result<u32, OpenError> {
        let value = self.int(parameter, default, Some(min), None)?;
        Ok(u32::try_from(value).unwrap_or(0))
    }

    /// A number of at least `min`, and at most `max` where that is given.
    pub(crate) fn int(
        &self,
        parameter: &str,
        default: i32,
        min: Option<i32>,
        max: Option<i32>,
    ) -> Result<i32, OpenError> {
        let Some(text) = self.get(parameter) else {
            return Ok(default);
        };
        let (prefix, name) = (self.prefix(), self.full_name(parameter));
        let value: i32 = text
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| {
                let text = shown(&text);
                OpenError(format!(
                    "{prefix}bad numerical configuration: {name} = {text}"
                ))
            })?;
        let complain = |sign: char, bound: i32| {
            Err(OpenError(format!(
                "{prefix}invalid {name} parameter value {value} {sign} {bound}"
            )))
        };
        match (min, max) {
            (Some(min), _) if value < min => complain('<', min),
            (_, Some(max)) if value > max => complain('>', max),
            _ => Ok(value),
        }
    }

    /// `yes` or `no`.
    pub(crate) fn boolean(&self, parameter: &str, default: bool) -> Result<bool, OpenError> {
        let Some(text) = self.get(parameter) else {
            return Ok(default);
        };
        if text.eq_ignore_ascii_case(b"yes") {
            return Ok(true);
        }
        if text.eq_ignore_ascii_case(b"no") {
            return Ok(false);
        }
        Err(OpenError(format!(
            "{}bad boolean configuration: {} = {}",
            self.prefix(),
            self.full_name(parameter),
            shown(&text)
        )))
    }

    /// The parameter as messages name it.
    fn full_name(&self, parameter: &str) -> String {
        match &self.place {
            Place::File(_) => parameter.to_owned(),
            Place::MainCf(_) => format!("{}_{parameter}", self.name),
        }
    }

    /// What messages begin with.
    fn prefix(&self) -> String {
        match &self.place {
            Place::File(_) => format!("{}: ", self.name),
            Place::MainCf(_) => String::new(),
        }
    }
}

/// The settings in a file, and whose file it is.
fn read_file(path: &str) -> Result<(HashMap<String, BString>, Owner), OpenError> {
    let mut file = File::open(path).map_err(|error| OpenError::io(path, &error))?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)
        .map_err(|error| OpenError(format!("read {path}: {}", io_text(&error))))?;
    let status = file
        .metadata()
        .map_err(|error| OpenError::io(path, &error))?;
    let mut values = HashMap::new();
    let mut lines = LogicalLines::new(content.as_slice(), path);
    while let Ok(Some(line)) = lines.next_line() {
        let (name, value) = split(&line.text).map_err(|what| {
            let text = shown(trim(&line.text));
            OpenError(format!("{path}, line {}: {what}: \"{text}\"", line.last))
        })?;
        if let Some(old) = values.insert(shown(name), BString::from(value)) {
            log::warn!(
                "{path}, line {}: overriding earlier entry: {}={}",
                line.last,
                shown(name),
                shown(&old)
            );
        }
    }
    Ok((values, Owner::of_uid(status.uid())))
}

/// `name = value` taken apart.
fn split(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let line = trim(line);
    let end = line
        .iter()
        .position(|byte| is_space(*byte) || *byte == b'=')
        .unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if name.is_empty() {
        return Err("missing attribute name");
    }
    let value = trim(rest)
        .strip_prefix(b"=")
        .ok_or("missing '=' after attribute name")?;
    Ok((name, trim(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_file_gives_values_and_complaints_in_postfix_words() {
        let config = Config::from_text("").unwrap();
        let file = file("a = 1\n  2\n# c\nb=yes\nn = x\nb = maybe\nm = 7\ne=\n");
        let path = file.path().to_str().unwrap();
        let settings = ClientConfig::open(&config, path).unwrap();
        assert_eq!(settings.bytes("a", ""), "1  2");
        assert_eq!(settings.bytes("z", "dflt"), "dflt");
        assert_eq!(settings.bytes("e", "dflt"), "");
        assert_eq!(settings.int("m", 0, Some(1), None), Ok(7));
        assert_eq!(settings.int("z", 3, Some(1), None), Ok(3));
        assert_eq!(settings.boolean("z", true), Ok(true));
        let text = |error: OpenError| error.to_string();
        assert_eq!(
            text(settings.boolean("b", true).unwrap_err()),
            format!("{path}: bad boolean configuration: b = maybe")
        );
        assert_eq!(
            text(settings.int("n", 0, None, None).unwrap_err()),
            format!("{path}: bad numerical configuration: n = x")
        );
        assert_eq!(
            text(settings.int("m", 0, Some(8), None).unwrap_err()),
            format!("{path}: invalid m parameter value 7 < 8")
        );
        assert_eq!(
            text(settings.int("m", 0, None, Some(6)).unwrap_err()),
            format!("{path}: invalid m parameter value 7 > 6")
        );
        assert_eq!(
            text(settings.required("e").unwrap_err()),
            format!("{path}: bad string length 0 < 1: e = ")
        );
    }

    #[test]
    fn files_that_cannot_be_read_are_not_opened() {
        let config = Config::from_text("").unwrap();
        let open = |path: &str| ClientConfig::open(&config, path).err().unwrap().to_string();
        assert_eq!(
            open("/nonexistent"),
            "open /nonexistent: No such file or directory"
        );
        assert_eq!(open("/"), "read /: Is a directory");
        let file = file("a = 1\nfoo\nbar = 1\n");
        let path = file.path().to_str().unwrap();
        assert_eq!(
            open(path),
            format!("{path}, line 2: missing '=' after attribute name: \"foo\"")
        );
    }

    #[test]
    fn other_names_are_prefixes_in_main_cf() {
        let config = Config::from_text("t_a = $t_x:%s\nt_x = pre\nt_n = y\n").unwrap();
        let settings = ClientConfig::open(&config, "t").unwrap();
        assert_eq!(settings.bytes("a", ""), "pre:%s");
        assert_eq!(
            settings.int("n", 0, None, None).unwrap_err().to_string(),
            "bad numerical configuration: t_n = y"
        );
        assert_eq!(
            settings.required("dbname").unwrap_err().to_string(),
            "bad string length 0 < 1: t_dbname = "
        );
    }
}
