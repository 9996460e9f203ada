//! Address lists of RFC 822 headers as trees: mailboxes, groups, phrases, comments, routes.
//!
//! The list is read from right to left, because what a word is (phrase, group name, address) is
//! decided by what follows it. Nothing is an error: missing commas are added, stray characters
//! stay where they are. Source: RFC 822 §6; lenient cases observed with Postfix 3.7.11.

use bstr::{BStr, BString};

use crate::token::{self, Token, scan};

/// More text than this besides the address, between two commas, is stripped
/// (see [`strip_long_comments`]).
const MAX_NON_ADDRESS: usize = 250;
/// A regenerated header is broken before this column.
const FOLD_COLUMN: usize = 70;

/// One element of a parsed address list, in order of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// Phrase word, comment, or one of `<`, `>`, `,`, `;` and stray operators.
    Token(Token),
    /// The `:` after a group name.
    GroupStart,
    /// An address: local part, `@`, domain; comments moved out.
    Address(Address),
}

/// The address of one mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// As parsed.
    Tokens(Vec<Token>),
    /// Replaced by a rewriting step: external form.
    Rewritten(BString),
}

impl Address {
    /// External (quoted) form; adjacent words of a route address are joined.
    pub fn external(&self) -> BString {
        match self {
            Self::Rewritten(text) => text.clone(),
            Self::Tokens(tokens) => {
                let mut out = BString::default();
                for token in tokens {
                    token.write_external(&mut out);
                }
                out
            }
        }
    }

    /// Internal (unquoted) form.
    pub fn internal(&self) -> BString {
        match self {
            Self::Rewritten(text) => crate::address::unquote(BStr::new(text)),
            Self::Tokens(tokens) => {
                let mut out = BString::default();
                for token in tokens {
                    token.write_internal(&mut out);
                }
                out
            }
        }
    }

    /// Replaces the address by `external`, in the spelling that its tokens have.
    pub fn replace(&mut self, external: BString) {
        *self = Self::Rewritten(token::external(&scan(BStr::new(&external), 0)));
    }
}

/// Parses an address list, looking at no more than `token_limit` tokens (0: no limit).
pub fn parse(text: &BStr, token_limit: usize) -> Vec<Node> {
    let mut parser = Parser {
        tokens: scan(text, token_limit),
        reversed: Vec::new(),
        in_group: false,
    };
    parser.list();
    parser.reversed.reverse();
    parser.reversed
}

/// The addresses of a list, groups included.
pub fn addresses(nodes: &[Node]) -> impl Iterator<Item = &Address> {
    nodes.iter().filter_map(|node| match node {
        Node::Address(address) => Some(address),
        _ => None,
    })
}

/// The addresses of a list, for replacement.
pub fn addresses_mut(nodes: &mut [Node]) -> impl Iterator<Item = &mut Address> {
    nodes.iter_mut().filter_map(|node| match node {
        Node::Address(address) => Some(address),
        _ => None,
    })
}

struct Parser {
    /// Consumed from the end.
    tokens: Vec<Token>,
    /// The result, last element first.
    reversed: Vec<Node>,
    /// A `;` was seen, so a `:` starts a group.
    in_group: bool,
}

impl Parser {
    fn push(&mut self, token: Token) {
        self.reversed.push(Node::Token(token));
    }

    /// Between mailboxes.
    fn list(&mut self) {
        while let Some(token) = self.tokens.pop() {
            match token {
                Token::Comment(_) | Token::Op(b',') => self.push(token),
                Token::Op(b';') => {
                    self.in_group = true;
                    self.push(token);
                }
                Token::Op(b'>') => {
                    self.push(token);
                    self.route();
                }
                Token::Op(b':') if self.in_group => {
                    self.reversed.push(Node::GroupStart);
                    self.group_name();
                }
                _ => {
                    self.tokens.push(token);
                    self.address();
                }
            }
        }
    }

    /// An address without angle brackets: words joined by operators.
    fn address(&mut self) {
        let mut reversed = Vec::new();
        let mut comments = Vec::new();
        let mut next_is_word = false;
        let separated = loop {
            let Some(token) = self.tokens.pop() else {
                break true;
            };
            match token {
                Token::Comment(_) => comments.push(token),
                Token::Op(b',') => {
                    self.tokens.push(token);
                    break true;
                }
                Token::Op(b':') if self.in_group => {
                    self.tokens.push(token);
                    break true;
                }
                Token::Op(b'>' | b';') => {
                    self.tokens.push(token);
                    break false;
                }
                _ if token.is_word() && next_is_word => {
                    self.tokens.push(token);
                    break false;
                }
                _ => {
                    next_is_word = token.is_word();
                    reversed.push(token);
                }
            }
        };
        self.push_address(reversed, comments);
        if !separated {
            self.push(Token::Op(b','));
        }
    }

    fn push_address(&mut self, mut reversed: Vec<Token>, comments: Vec<Token>) {
        for comment in comments {
            self.push(comment);
        }
        reversed.reverse();
        self.reversed.push(Node::Address(Address::Tokens(reversed)));
    }

    /// After `>`: everything up to `<` is the address, then a phrase.
    fn route(&mut self) {
        let mut reversed = Vec::new();
        let mut comments = Vec::new();
        let mut opening = None;
        while let Some(token) = self.tokens.pop() {
            match token {
                Token::Comment(_) => comments.push(token),
                Token::Op(b'<') => {
                    opening = Some(token);
                    break;
                }
                _ => reversed.push(token),
            }
        }
        self.push_address(reversed, comments);
        if let Some(token) = opening {
            self.push(token);
            self.phrase();
        }
    }

    /// Left of `<`.
    fn phrase(&mut self) {
        while let Some(token) = self.tokens.pop() {
            if matches!(token, Token::Op(b',' | b';' | b'>'))
                || (self.in_group && token.is_op(b':'))
            {
                self.tokens.push(token);
                return;
            }
            let ends = token.is_op(b':');
            self.push(token);
            if ends {
                return;
            }
        }
    }

    /// Left of a group's `:`.
    fn group_name(&mut self) {
        while let Some(token) = self.tokens.pop() {
            let ends = token.is_op(b',');
            self.push(token);
            if ends {
                return;
            }
        }
    }
}

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Separator {
    /// `, `.
    Blank,
    /// `,` and a line break.
    Newline,
}

/// The list's external form, unfolded; comments keep their line breaks.
pub fn externalize(nodes: &[Node]) -> BString {
    write_nodes(nodes, Separator::Blank)
}

fn write_nodes(nodes: &[Node], separator: Separator) -> BString {
    let mut out = BString::default();
    let mut after_word = false;
    for node in nodes {
        match node {
            Node::GroupStart => out.extend_from_slice(b": "),
            Node::Address(address) => {
                if after_word {
                    out.push(b' ');
                }
                out.extend_from_slice(&address.external());
            }
            Node::Token(Token::Op(b',')) if separator == Separator::Newline => {
                out.extend_from_slice(b",\n")
            }
            Node::Token(token) => {
                let wanted = match token {
                    Token::Op(b'<') => !matches!(out.last(), None | Some(b' ' | b'\n')),
                    Token::Op(_) => false,
                    _ => after_word,
                };
                if wanted {
                    out.push(b' ');
                }
                token.write_external(&mut out);
            }
        }
        after_word = match node {
            Node::Address(address) => !address.external().is_empty(),
            Node::Token(Token::Comment(_)) => true,
            Node::Token(token) => token.is_word(),
            Node::GroupStart => false,
        };
    }
    out
}

/// A whole header, `Name: list`, folded: addresses share a line while it stays shorter than 70
/// bytes; further lines start with a tab.
pub fn header(name: &BStr, nodes: &[Node]) -> BString {
    let mut out = BString::from(name.to_vec());
    out.extend_from_slice(b": ");
    let list = write_nodes(nodes, Separator::Newline);
    let mut column = out.len();
    for (index, entry) in list.split(|&b| b == b'\n').enumerate() {
        if index > 0 {
            if column + entry.len() + 1 < FOLD_COLUMN {
                out.push(b' ');
                column += 1;
            } else {
                // The tab does not count; a comment may bring a blank of its own.
                out.push(b'\n');
                if !matches!(entry.first(), Some(b' ' | b'\t')) {
                    out.push(b'\t');
                }
                column = 0;
            }
        }
        out.extend_from_slice(entry);
        column += entry.len();
    }
    out
}

/// Reduces every mailbox that carries more than 250 bytes of phrase and comments to `<address>`.
/// Returns the removed texts, for the warning `stripping too many comments from address: TEXT`.
pub fn strip_long_comments(nodes: &mut Vec<Node>) -> Vec<BString> {
    let mut stripped = Vec::new();
    let mut out = Vec::with_capacity(nodes.len());
    let is_comma = |node: &Node| matches!(node, Node::Token(Token::Op(b',')));
    for (index, mailbox) in nodes.split(is_comma).enumerate() {
        if index > 0 {
            out.push(Node::Token(Token::Op(b',')));
        }
        let addresses_only: usize = addresses(mailbox).map(|a| a.external().len()).sum();
        let text = externalize(mailbox);
        if text.len().saturating_sub(addresses_only) <= MAX_NON_ADDRESS
            || addresses(mailbox).next().is_none()
        {
            out.extend_from_slice(mailbox);
            continue;
        }
        stripped.push(text);
        for address in addresses(mailbox) {
            out.push(Node::Token(Token::Op(b'<')));
            out.push(Node::Address(address.clone()));
            out.push(Node::Token(Token::Op(b'>')));
        }
    }
    *nodes = out;
    stripped
}

#[cfg(test)]
mod tests;
