//! What can go wrong in a dialogue besides unwelcome replies, and at which stage.

use std::io;

/// Why a dialogue cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The peer went away.
    Lost,
    /// The peer is too slow.
    TimedOut,
    /// A table could not be read; the peer is not to blame.
    Data,
    /// The peer answered what it was not asked: no later reply can be trusted.
    OutOfStep,
}

impl Trouble {
    /// The meaning of a failed read or write.
    pub fn from_io(error: &io::Error) -> Self {
        if postern_wire::is_timeout(error) {
            Self::TimedOut
        } else {
            Self::Lost
        }
    }
}

/// Where in the dialogue we are. `Display` follows `while `.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for the greeting.
    Greeting,
    /// EHLO.
    Ehlo,
    /// HELO.
    Helo,
    /// LHLO.
    Lhlo,
    /// First XFORWARD command.
    XforwardName,
    /// Second XFORWARD command.
    XforwardProto,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The message.
    Content,
    /// The final dot and its replies.
    Dot,
    /// RSET after a refusal.
    Rset,
    /// RSET on a kept connection.
    RsetProbe,
    /// QUIT.
    Quit,
}

impl Stage {
    /// Whether the server knows already that there is mail.
    pub fn has_mail(self) -> bool {
        !matches!(self, Self::Greeting | Self::Ehlo | Self::Helo | Self::Lhlo)
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Greeting => "receiving the initial server greeting",
            Self::Ehlo => "performing the EHLO handshake",
            Self::Helo => "performing the HELO handshake",
            Self::Lhlo => "performing the LHLO handshake",
            Self::XforwardName => "sending XFORWARD name/address",
            Self::XforwardProto => "sending XFORWARD protocol/helo_name",
            Self::Mail => "sending MAIL FROM",
            Self::Rcpt => "sending RCPT TO",
            Self::Data => "sending DATA command",
            Self::Content => "sending message body",
            Self::Dot => "sending end of data -- message may be sent more than once",
            Self::Rset => "sending final RSET",
            Self::RsetProbe => "sending RSET probe",
            Self::Quit => "sending QUIT",
        })
    }
}

impl Stage {
    /// The command as replies to it are described.
    pub fn command(self) -> &'static str {
        match self {
            Self::XforwardName => "XFORWARD name/address command",
            Self::XforwardProto => "XFORWARD helo/protocol command",
            Self::Mail => "MAIL FROM command",
            Self::Rcpt => "RCPT TO command",
            Self::Data => "DATA command",
            Self::Content | Self::Dot => "end of DATA command",
            Self::Rset => "final RSET command",
            Self::RsetProbe => "RSET probe",
            Self::Quit => "QUIT command",
            Self::Greeting | Self::Ehlo | Self::Helo | Self::Lhlo => "",
        }
    }
}
