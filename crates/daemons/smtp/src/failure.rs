//! Why a recipient, a message or a site fails, as a delivery status.

use bstr::{BStr, BString};
use postern_ipc::deliver::Dsn;

use crate::reply::Reply;

/// A failure with its delivery status. The status class tells soft (4) from hard (5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// What is logged, put in bounces and told to qmgr(8).
    pub dsn: Box<Dsn>,
}

impl Failure {
    /// A failure found out on this side.
    pub fn local(status: &str, reason: impl Into<BString>) -> Self {
        Self {
            dsn: Box::new(Dsn {
                status: status.into(),
                reason: reason.into(),
                ..Dsn::default()
            }),
        }
    }

    /// A failure that a server told. `host` is its name, `reason` the whole text.
    pub fn remote(host: &BStr, reply: &Reply, reason: impl Into<BString>) -> Self {
        Self {
            dsn: Box::new(Dsn {
                status: reply.status(),
                diag_type: "smtp".into(),
                diag_text: reply.text.clone(),
                mta_type: "dns".into(),
                mta_mname: host.into(),
                action: BString::default(),
                reason: reason.into(),
            }),
        }
    }

    /// Whether trying again may help.
    pub fn is_soft(&self) -> bool {
        self.dsn.status.first() == Some(&b'4')
    }

    /// The same failure with another status class.
    pub fn with_class(mut self, class: u8) -> Self {
        if let Some(first) = self.dsn.status.first_mut() {
            *first = class;
        }
        self
    }
}
