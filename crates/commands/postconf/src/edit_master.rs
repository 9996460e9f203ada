//! Changes master.cf: entries, fields, and `-o` settings. Untouched entries keep their bytes.

use postern_config::edit::Replacement;
use postern_config::lines;
use postern_config::master_cf::{self, FIELD_NAMES};

use crate::edit_main::check_word;
use crate::layout::{command_words, master_entry};
use crate::model::{MasterEntry, setting_text};
use crate::options::{Flag, Options};
use crate::{Fatal, warn};

/// One request of the command line.
struct Request {
    word: String,
    service: String,
    kind: String,
    /// Field or parameter name, for `-F` and `-P`.
    item: String,
    action: Action,
    is_matched: bool,
}

enum Action {
    ReplaceEntry(Box<MasterEntry>),
    CommentOut,
    RemoveEntry,
    SetField(usize, String),
    SetParam(String),
    RemoveParam,
}

/// A piece of the file: an entry with the comments and blank lines after it, or what precedes all.
/// Only entries that change need to be right.
struct Block {
    lines: Vec<Vec<u8>>,
    /// Where the file was read, for complaints.
    path: String,
    /// The entry as it stands in the file.
    raw: Option<master_cf::Entry>,
    /// The entry's new form, when it changes.
    entry: Option<MasterEntry>,
}

/// Applies the command line's words to master.cf.
pub(crate) fn run(options: &Options) -> Result<(), Fatal> {
    let mut requests = options
        .words
        .iter()
        .map(|word| request(options, word))
        .collect::<Result<Vec<_>, _>>()?;
    if requests.is_empty() {
        return Err(Fatal::text(
            match (options.has(Flag::Edit), options.has(Flag::MasterEntry)) {
                (true, _) => "-e requires name=value argument",
                (false, _) => "missing service argument",
            },
        ));
    }
    let path = options.directory.join("master.cf");
    let shown = path.to_string_lossy().into_owned();
    let replacement = Replacement::open(&path)?;
    let mut blocks = blocks(&shown, &replacement.old_text()?)?;
    for request in &mut requests {
        apply(request, &mut blocks)?;
    }
    for request in requests.iter().filter(|request| !request.is_matched) {
        if matches!(
            request.action,
            Action::SetField(..) | Action::SetParam(_) | Action::RemoveParam
        ) {
            warn(&format!(
                "unmatched service_name/type: \"{}\"",
                request.word
            ));
            let wanted = request.word.trim().split('/').next().unwrap_or_default();
            let services = blocks.iter().filter_map(|block| block.raw.as_ref());
            let names = services.filter_map(|entry| entry.fields.first().map(String::as_str));
            crate::hints::meant(wanted, names);
        }
    }
    let text: Vec<u8> = blocks
        .iter()
        .flat_map(|block| block.lines.concat())
        .collect();
    replacement.commit(&text)?;
    Ok(())
}

fn request(options: &Options, word: &str) -> Result<Request, Fatal> {
    check_word(word, "-Me, -Fe, -Pe, -X, or -#")
        .map_err(|error| Fatal::Text(error.to_string().replace("-# accepts", "-# accept")))?;
    let (pattern, value) = match word.split_once('=') {
        Some((pattern, value)) if options.has(Flag::Edit) => (pattern.trim(), Some(value.trim())),
        _ => (word.trim(), None),
    };
    let parts: Vec<&str> = pattern.split('/').collect();
    let is_entry = options.has(Flag::MasterEntry);
    let wanted = if is_entry { 2 } else { 3 };
    if parts.len() != wanted || parts.iter().any(|part| part.is_empty()) {
        return Err(Fatal::text(if is_entry {
            "-Me, -MX or -M# requires service_name/type"
        } else if options.has(Flag::MasterField) {
            "-Fe or -FX requires service_name/type/field_name"
        } else {
            "-Pe or -PX requires service_name/type/parameter"
        }));
    }
    if options.has(Flag::Edit) && value.is_none() {
        return Err(Fatal::Text(format!(
            "missing '=' after attribute name: \"{word}\""
        )));
    }
    let item = parts.get(2).copied().unwrap_or_default();
    let action = if is_entry {
        entry_action(options, value, word)?
    } else if options.has(Flag::MasterField) {
        field_action(item, value.unwrap_or_default())?
    } else {
        param_action(item, value, word)?
    };
    Ok(Request {
        word: word.to_string(),
        service: parts[0].to_string(),
        kind: parts[1].to_string(),
        item: item.to_string(),
        action,
        is_matched: false,
    })
}

fn entry_action(options: &Options, value: Option<&str>, word: &str) -> Result<Action, Fatal> {
    let Some(text) = value else {
        return Ok(if options.has(Flag::Remove) {
            Action::RemoveEntry
        } else {
            Action::CommentOut
        });
    };
    let entry = master_cf::entry(0, 0, text.to_string());
    let entry = MasterEntry::from_entry(&entry, &|| format!("bad field count: \"{word}\""))?;
    Ok(Action::ReplaceEntry(Box::new(entry)))
}

fn field_action(item: &str, value: &str) -> Result<Action, Fatal> {
    if item == "*" {
        return Err(Fatal::text("-Fe does not accept wild-card field name"));
    }
    let Some(index) = FIELD_NAMES.iter().position(|name| *name == item) else {
        return Err(Fatal::Text(format!(
            "invalid service attribute name: \"{item}\""
        )));
    };
    if index + 1 < FIELD_NAMES.len() && value.contains([' ', '\t', '\r']) {
        return Err(Fatal::text(
            "-Fe does not accept whitespace in non-command field",
        ));
    }
    Ok(Action::SetField(index, value.to_string()))
}

fn param_action(item: &str, value: Option<&str>, word: &str) -> Result<Action, Fatal> {
    if item == "*" {
        return Err(Fatal::text("-Pe does not accept wild-card parameter name"));
    }
    if value.is_some() && item.contains(char::is_whitespace) {
        return Err(Fatal::Text(format!(
            "missing '=' after attribute name: \"{word}\""
        )));
    }
    match value {
        None => Ok(Action::RemoveParam),
        Some(value) if value.contains([' ', '\t', '\r']) => Err(Fatal::text(
            "-Pe does not accept whitespace in parameter value",
        )),
        Some(value) => Ok(Action::SetParam(value.to_string())),
    }
}

/// Takes the file apart into entries.
fn blocks(path: &str, content: &[u8]) -> Result<Vec<Block>, Fatal> {
    let mut made = vec![Block::new(path)];
    let entries = master_cf::entries(path, content, drop);
    let mut starts = entries.into_iter().peekable();
    for (index, line) in content.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if let Some(entry) = starts.next_if(|entry| entry.line == index + 1) {
            check_start(path, entry.line, &lines::to_text(line))?;
            made.push(Block {
                raw: Some(entry),
                ..Block::new(path)
            });
        }
        let mut line = line.to_vec();
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        if let Some(block) = made.last_mut() {
            block.lines.push(line);
        }
    }
    Ok(made)
}

/// An entry whose first line does not tell its name and type cannot be found by these.
fn check_start(path: &str, number: usize, line: &str) -> Result<(), Fatal> {
    let fail = |problem: String| {
        Err(Fatal::Text(format!(
            "file {path}: line {number}: {problem}"
        )))
    };
    let mut fields = line.split_whitespace();
    let (Some(name), Some(kind)) = (fields.next(), fields.next()) else {
        return fail("specify service name and type on the same line".to_string());
    };
    for (what, text) in [("name", name), ("type", kind)] {
        if text.contains('=') {
            return fail(format!(
                "service {what} syntax \"{text}\" is unsupported with -Me, -Fe, -Pe, -X, or -#"
            ));
        }
    }
    Ok(())
}

fn is_comment(line: &[u8]) -> bool {
    line.iter()
        .find(|byte| !byte.is_ascii_whitespace() && **byte != 0x0b)
        .is_none_or(|byte| *byte == b'#')
}

fn is_match(pattern: &str, text: &str) -> bool {
    pattern == "*" || pattern == text
}

fn apply(request: &mut Request, blocks: &mut Vec<Block>) -> Result<(), Fatal> {
    if let Action::ReplaceEntry(new) = &request.action {
        replace_entry(request, new, blocks);
        return Ok(());
    }
    for block in blocks.iter_mut() {
        if !block.is_named(&request.service, &request.kind) {
            continue;
        }
        request.is_matched = true;
        match &request.action {
            Action::CommentOut => block.comment_out(),
            Action::RemoveEntry => block.remove(),
            Action::SetField(index, value) => {
                let entry = block.parsed()?;
                if index + 1 < FIELD_NAMES.len() {
                    master_cf::check_field(*index, value, value).map_err(Fatal::Text)?;
                    entry.fields[*index].clone_from(value);
                } else {
                    let mut words = command_words(value);
                    if !words.is_empty() {
                        entry.fields[*index] = words.remove(0);
                    }
                    entry.set_arguments(&words);
                }
                block.rewrite();
            }
            Action::SetParam(value) => {
                set_param(block.parsed()?, &request.item, value);
                block.rewrite();
            }
            Action::RemoveParam => {
                let entry = block.parsed()?;
                for at in entry.setting_positions(&request.item).into_iter().rev() {
                    entry.arguments.drain(at - 1..=at);
                    entry.options -= 2;
                }
                entry.settings.remove(&request.item);
                block.rewrite();
            }
            Action::ReplaceEntry(_) => {}
        }
    }
    Ok(())
}

/// Puts `new` in place of the first entry that the request names; others that it names, and those of
/// the new entry's own name, go.
fn replace_entry(request: &Request, new: &MasterEntry, blocks: &mut Vec<Block>) {
    let mut is_replaced = false;
    for block in blocks.iter_mut() {
        let is_selected = block.is_named(&request.service, &request.kind);
        if is_selected && !is_replaced {
            is_replaced = true;
            block.replace(new.clone());
        } else if is_selected || block.is_named(new.name(), new.kind()) {
            block.remove();
        }
    }
    if !is_replaced {
        let mut block = Block::new("");
        block.replace(new.clone());
        blocks.push(block);
    }
}

fn set_param(entry: &mut MasterEntry, name: &str, value: &str) {
    let text = setting_text(name, value);
    let positions = entry.setting_positions(name);
    for at in &positions {
        entry.arguments[*at].clone_from(&text);
    }
    if positions.is_empty() {
        let at = entry.options;
        entry.arguments.splice(at..at, ["-o".to_string(), text]);
        entry.options += 2;
    }
    entry.settings.insert(name.to_string(), value.to_string());
}

impl Block {
    fn new(path: &str) -> Self {
        Self {
            lines: Vec::new(),
            path: path.to_string(),
            raw: None,
            entry: None,
        }
    }

    /// Whether the block's entry, as it is now, has this name and type; `*` stands for any.
    fn is_named(&self, service: &str, kind: &str) -> bool {
        match (&self.entry, &self.raw) {
            (Some(entry), _) => is_match(service, entry.name()) && is_match(kind, entry.kind()),
            (None, Some(raw)) => {
                let field = |index: usize| raw.fields.get(index).map_or("", String::as_str);
                is_match(service, field(0)) && is_match(kind, field(1))
            }
            (None, None) => false,
        }
    }

    /// The entry, checked now that it changes. The reference keeps line ends in arguments that it
    /// quotes, and blanks in their place in an entry that it quotes.
    fn parsed(&mut self) -> Result<&mut MasterEntry, Fatal> {
        let parsed = match (self.entry.take(), &self.raw) {
            (Some(entry), _) => entry,
            (None, Some(raw)) => {
                let own = self.lines.iter().filter(|line| !is_comment(line));
                let text: Vec<u8> = own.flatten().copied().collect();
                let text = lines::to_text(&text);
                let quoted = text.replace('\n', " ");
                let raw = master_cf::Entry {
                    text: quoted,
                    ..master_cf::entry(raw.line, raw.last_line, text)
                };
                MasterEntry::from_entry(&raw, &|| {
                    format!("file {}: line {}: bad field count", self.path, raw.line)
                })?
            }
            (None, None) => return Err(Fatal::text("no entry")),
        };
        Ok(self.entry.insert(parsed))
    }

    fn comments(&self) -> Vec<Vec<u8>> {
        self.lines
            .iter()
            .filter(|line| is_comment(line))
            .cloned()
            .collect()
    }

    /// Puts the entry's new text below the comments that were inside it.
    fn rewrite(&mut self) {
        let mut lines = self.comments();
        if let Some(entry) = &self.entry {
            lines.push(folded(entry));
        }
        self.lines = lines;
    }

    /// Puts another entry above the comments.
    fn replace(&mut self, entry: MasterEntry) {
        let mut lines = vec![folded(&entry)];
        lines.extend(self.comments());
        self.lines = lines;
        self.entry = Some(entry);
    }

    fn remove(&mut self) {
        self.lines = self.comments();
        (self.entry, self.raw) = (None, None);
    }

    fn comment_out(&mut self) {
        for line in self.lines.iter_mut().filter(|line| !is_comment(line)) {
            line.insert(0, b'#');
        }
        (self.entry, self.raw) = (None, None);
    }
}

fn folded(entry: &MasterEntry) -> Vec<u8> {
    let mut text = master_entry(&entry.fields, &entry.arguments, entry.options, true);
    text.push('\n');
    lines::to_bytes(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "# head\nsmtp inet n - n - - smtpd\n  -o a=b\n# inside\n  -o b=c\n\n# after\nqmgr unix n - n 300 1 qmgr\n";

    fn edit(arguments: &[&str]) -> Result<String, String> {
        let words = arguments.iter().map(|word| (*word).to_string()).collect();
        let options = Options::parse(words)
            .and_then(Options::complete)
            .map_err(|error| error.to_string())?;
        let mut blocks = blocks("/m", OLD.as_bytes()).map_err(|error| error.to_string())?;
        for word in &options.words {
            let mut request = request(&options, word).map_err(|error| error.to_string())?;
            apply(&mut request, &mut blocks).map_err(|error| error.to_string())?;
        }
        let text = blocks
            .iter()
            .flat_map(|block| block.lines.concat())
            .collect();
        String::from_utf8(text).map_err(|error| error.to_string())
    }

    #[test]
    fn edits_give_the_reference_layout() {
        let head = "smtp       inet  n       -       n       -       -       smtpd\n";
        let tail = "qmgr unix n - n 300 1 qmgr\n";
        let rows = [
            (
                vec!["-M", "smtp/inet=smtp inet n - n - - smtpd -o x=y"],
                format!("# head\n{head}    -o x=y\n# inside\n\n# after\n{tail}"),
            ),
            (
                vec!["-M#", "smtp/inet"],
                format!(
                    "# head\n#smtp inet n - n - - smtpd\n#  -o a=b\n# inside\n#  -o b=c\n\n# after\n{tail}"
                ),
            ),
            (
                vec!["-MX", "smtp/inet"],
                format!("# head\n# inside\n\n# after\n{tail}"),
            ),
            (
                vec!["-P", "smtp/inet/a=z"],
                format!("# head\n# inside\n\n# after\n{head}    -o a=z\n    -o b=c\n{tail}"),
            ),
            (
                vec!["-P", "smtp/inet/n=z"],
                format!(
                    "# head\n# inside\n\n# after\n{head}    -o a=b\n    -o b=c\n    -o n=z\n{tail}"
                ),
            ),
            (
                vec!["-PX", "smtp/inet/a"],
                format!("# head\n# inside\n\n# after\n{head}    -o b=c\n{tail}"),
            ),
        ];
        for (arguments, want) in rows {
            assert_eq!(edit(&arguments), Ok(want), "{arguments:?}");
        }
    }

    #[test]
    fn new_settings_go_before_what_ends_the_options() {
        let rows = [
            (
                "-o a=b {x y} -o c",
                "\n    -o a=b\n    -o n=z\n    {x y} -o c",
            ),
            (
                "{-v} {-o a = b} foo",
                " -v\n    -o a=b\n    -o n=z\n    foo",
            ),
            ("{-o} x=y {} z", "\n    -o x=y\n    -o n=z\n    {} z"),
        ];
        for (arguments, want) in rows {
            use crate::layout::argument_text;
            let line = format!("smtp inet n - n - - smtpd {arguments}\n");
            let mut blocks = blocks("/m", line.as_bytes()).expect("blocks");
            let entry = blocks[1].parsed().expect("entry");
            set_param(entry, "n", "z");
            let got = argument_text(&entry.arguments, entry.options, 0, true);
            assert_eq!(got, want, "{arguments}");
        }
    }

    #[test]
    fn entries_without_name_and_type_in_their_first_line_stop_edits() {
        let rows = [
            (
                "smtp\n inet n - n - - smtpd\n",
                "specify service name and type on the same line",
            ),
            (
                "a=b inet n - n - - smtpd\n",
                "service name syntax \"a=b\" is unsupported with -Me, -Fe, -Pe, -X, or -#",
            ),
            (
                "a = n - n - - smtpd\n",
                "service type syntax \"=\" is unsupported with -Me, -Fe, -Pe, -X, or -#",
            ),
        ];
        for (text, want) in rows {
            let error = blocks("/m", text.as_bytes())
                .err()
                .map(|error| error.to_string());
            assert_eq!(error, Some(format!("file /m: line 1: {want}")));
        }
        assert!(blocks("/m", b"bad inet\nworse unix x\n").is_ok());
    }

    #[test]
    fn bad_requests_are_refused() {
        let rows = [
            (
                vec!["-M", "smtp=x"],
                "-Me, -MX or -M# requires service_name/type",
            ),
            (
                vec!["-Me", "bad/inet=bad inet"],
                "bad field count: \"bad/inet=bad inet\"",
            ),
            (
                vec!["-F", "smtp/inet/chroot=q"],
                "invalid chroot field \"q\" in \"q\"",
            ),
            (
                vec!["-F", "smtp/inet/chroot=y n"],
                "-Fe does not accept whitespace in non-command field",
            ),
            (
                vec!["-F", "smtp/inet/*=n"],
                "-Fe does not accept wild-card field name",
            ),
            (
                vec!["-F", "smtp/inet=n"],
                "-Fe or -FX requires service_name/type/field_name",
            ),
            (
                vec!["-P", "smtp/inet/a b=c"],
                "missing '=' after attribute name: \"smtp/inet/a b=c\"",
            ),
            (
                vec!["-P", "smtp/inet/a=b c"],
                "-Pe does not accept whitespace in parameter value",
            ),
        ];
        for (arguments, want) in rows {
            assert_eq!(edit(&arguments), Err(want.to_string()), "{arguments:?}");
        }
    }
}
