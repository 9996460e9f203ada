//! One mail transaction: MAIL, RCPT, DATA, content, replies (smtp-client.md §6).
//!
//! Commands are sent in batches where the server allows it. The replies of a batch are read before
//! any of them is acted upon, and only if the server sent no more than it was asked for: a reply
//! counts for the command it answers, and for nothing else.

use bstr::BString;
use postern_ipc::deliver::Dsn;

use crate::content::{self, ContentError, Source};
use crate::envelope::{self, Context};
use crate::failure::Failure;
use crate::features::Keywords;
use crate::job::Job;
use crate::reply::Reply;
use crate::role::Role;
use crate::session::Session;
use crate::settings::{ProbeTarget, Settings, Tables};
use crate::trouble::{Stage, Trouble};

/// Bytes of commands that are sent before replies are read: what fits everywhere into the buffers of
/// both sides, so that neither waits for the other for ever.
const BATCH_LIMIT: usize = 4096;

/// What one command of the transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    XforwardName,
    XforwardProto,
    Mail,
    /// Index into the recipients of the job.
    Rcpt(usize),
    Data,
    Rset,
}

impl Step {
    fn stage(self) -> Stage {
        match self {
            Self::XforwardName => Stage::XforwardName,
            Self::XforwardProto => Stage::XforwardProto,
            Self::Mail => Stage::Mail,
            Self::Rcpt(_) => Stage::Rcpt,
            Self::Data => Stage::Data,
            Self::Rset => Stage::Rset,
        }
    }
}

/// Everything that a transaction uses.
pub struct Transaction<'a, 'b, 'c> {
    /// The server.
    pub session: &'a mut Session,
    /// The message's recipients and their fate.
    pub job: &'a mut Job<'b>,
    /// Parameters.
    pub settings: &'a Settings,
    /// Tables.
    pub tables: &'a mut Tables,
    /// The message.
    pub source: &'a Source<'c>,
    /// Flag headers etc. for [`content`].
    pub options: &'a content::Options,
}

/// How far the dialogue has come.
#[derive(Debug, Default)]
struct Progress {
    mail_refused: bool,
    accepted: Vec<usize>,
    /// DATA was accepted: the server waits for content.
    data_open: bool,
    data_sent: bool,
    probed: bool,
}

impl Transaction<'_, '_, '_> {
    /// Delivers to the recipients that remain. Failures are reported; afterwards
    /// [`Session::in_step`] tells whether the session is still good.
    pub fn run(&mut self) {
        self.session.in_step = false;
        if let Some(failure) = self.unfit() {
            let open = self.job.open();
            self.job.message_fail(&open, &failure);
            self.session.in_step = true;
            self.job.completed = true;
            return;
        }
        if let Err((trouble, stage)) = self.dialogue() {
            if stage == Stage::Rset && matches!(trouble, Trouble::Lost | Trouble::TimedOut) {
                // Everybody's fate is known: nothing remains to be told of this server.
                self.session.keep = false;
                self.session.dead = true;
                self.session.in_step = true;
                self.job.completed = true;
                return;
            }
            let failure = self.session.broken(&trouble, stage);
            self.job.site_fail(&failure);
        }
    }

    /// Whether 8-bit content has to be converted for this server.
    fn downgrade(&self) -> bool {
        self.settings.convert_mime
            && !self.session.offers(Keywords::EIGHT_BIT_MIME)
            && self.job.request.encoding != "7bit"
    }

    /// What makes the message impossible for this server from the start.
    fn unfit(&mut self) -> Option<Failure> {
        let request = self.job.request;
        let limit = self.session.features.size_limit;
        if limit > 0 && request.size > limit {
            let reason = format!(
                "message size {} exceeds size limit {limit} of server {}",
                request.size, self.session.short
            );
            return Some(Failure::local("5.3.4", reason));
        }
        if !envelope::needs_utf8(request) || self.session.offers(Keywords::SMTPUTF8) {
            return None;
        }
        if !self.settings.smtputf8_try_all {
            let reason = format!(
                "SMTPUTF8 is required, but was not offered by host {}",
                self.session.short
            );
            return Some(Failure::local("5.6.7", reason));
        }
        let status = if self.job.final_server {
            "5.6.7"
        } else {
            "4.6.7"
        };
        let reason = format!(
            "message requires SMTPUTF8, but no server was found that supports SMTPUTF8. \
             The last attempted server was {}",
            self.session.short
        );
        Some(Failure::local(status, reason))
    }

    fn plan(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.settings.send_xforward && self.session.offers(Keywords::XFORWARD) {
            let (first, second) =
                envelope::xforward(self.job.request, self.session.features.forwardable);
            steps.extend(first.map(|_| Step::XforwardName));
            steps.extend(second.map(|_| Step::XforwardProto));
        }
        steps.push(Step::Mail);
        steps.extend(self.job.open().into_iter().map(Step::Rcpt));
        let probe = self.job.is_trace_only() && self.settings.probe_target == ProbeTarget::Rcpt;
        steps.push(if probe { Step::Rset } else { Step::Data });
        steps
    }

    fn dialogue(&mut self) -> Result<(), (Trouble, Stage)> {
        let mut progress = Progress::default();
        let mut steps = self.plan();
        let mut at = 0;
        while at < steps.len() {
            let count = self.send_batch(steps.get(at..).unwrap_or_default())?;
            let batch: Vec<Step> = steps.get(at..at + count).unwrap_or_default().to_vec();
            at += count;
            self.receive_batch(&batch, &mut progress)?;
            let hopeless = progress.mail_refused
                || (progress.accepted.is_empty()
                    && !steps
                        .iter()
                        .skip(at)
                        .any(|step| matches!(step, Step::Rcpt(_)))
                    && !has_mail_ahead(&steps, at));
            if hopeless && !progress.data_sent && !batch.contains(&Step::Rset) {
                steps = vec![Step::Rset];
                at = 0;
            }
        }
        if progress.probed {
            // The server waits for content that does not exist: only hanging up is safe.
            self.session.keep = false;
            self.session.dead = true;
            self.job.completed = true;
            return Ok(());
        }
        self.after_commands(&progress)
    }

    /// Puts as many commands into one batch as the server and the buffers allow, and sends it.
    fn send_batch(&mut self, steps: &[Step]) -> Result<usize, (Trouble, Stage)> {
        let first = steps.first().map_or(Stage::Mail, |step| step.stage());
        self.session.set_timeout(self.settings, self.limit(first));
        self.session
            .check_in_step()
            .map_err(|trouble| (trouble, first))?;
        let pipelining = self.session.offers(Keywords::PIPELINING);
        let mut count = 0;
        for step in steps {
            let text = self
                .text(*step)
                .map_err(|trouble| (trouble, step.stage()))?;
            if count > 0 && (!pipelining || self.session.batch_len() + text.len() + 2 > BATCH_LIMIT)
            {
                break;
            }
            self.session.command(&text);
            count += 1;
            if *step == Step::Rset && count == 1 {
                self.maybe_quit();
            }
            if !pipelining {
                break;
            }
        }
        self.session.flush().map_err(|trouble| (trouble, first))?;
        Ok(count)
    }

    fn text(&mut self, step: Step) -> Result<Vec<u8>, Trouble> {
        let request = self.job.request;
        let context = Context {
            request,
            features: &self.session.features,
            settings: self.settings,
            downgrade: self.downgrade(),
        };
        let generic = &mut self.tables.generic;
        match step {
            Step::XforwardName => Ok(envelope::xforward(request, context.features.forwardable)
                .0
                .unwrap_or_default()),
            Step::XforwardProto => Ok(envelope::xforward(request, context.features.forwardable)
                .1
                .unwrap_or_default()),
            Step::Mail => context.mail(generic),
            Step::Rcpt(index) => match self.job.recipients.get(index) {
                Some(entry) => context.rcpt(&entry.recipient, generic),
                None => Err(Trouble::Data),
            },
            Step::Data => Ok(b"DATA".to_vec()),
            Step::Rset => Ok(b"RSET".to_vec()),
        }
    }

    fn limit(&self, stage: Stage) -> std::time::Duration {
        let timeouts = &self.settings.timeouts;
        match stage {
            Stage::XforwardName | Stage::XforwardProto => timeouts.xforward,
            Stage::Mail => timeouts.mail,
            Stage::Rcpt => timeouts.rcpt,
            Stage::Data => timeouts.data_init,
            Stage::Content => timeouts.data_xfer,
            Stage::Dot => timeouts.data_done,
            Stage::Rset | Stage::RsetProbe => timeouts.rset,
            Stage::Quit => timeouts.quit,
            Stage::Greeting | Stage::Ehlo | Stage::Helo | Stage::Lhlo => timeouts.helo,
        }
    }

    /// Reads the replies of a batch, then acts upon them. When the dialogue breaks in between, the
    /// replies that came still count for their commands.
    fn receive_batch(
        &mut self,
        batch: &[Step],
        progress: &mut Progress,
    ) -> Result<(), (Trouble, Stage)> {
        let mut replies: Vec<Reply> = Vec::with_capacity(batch.len());
        let mut broken = None;
        for step in batch {
            let stage = step.stage();
            self.session.set_timeout(self.settings, self.limit(stage));
            match self
                .session
                .reply(self.settings, self.tables, &self.job.request.queue_id)
            {
                Ok(reply) => replies.push(reply),
                Err(trouble) => {
                    broken = Some((trouble, stage));
                    break;
                }
            }
        }
        let farewell = self.session.channel.buffered().starts_with(b"421");
        let parted = self.session.quit_sent && batch.contains(&Step::Rset);
        if broken.is_none() && self.session.channel.pending() > 0 && !farewell && !parted {
            // More replies than commands: which one answers what is anybody's guess.
            let stage = batch.last().map_or(Stage::Mail, |step| step.stage());
            let trouble = self
                .session
                .check_in_step()
                .err()
                .unwrap_or(Trouble::OutOfStep);
            return Err((trouble, stage));
        }
        if let Some((_, stage)) = broken
            && batch.len() > 1
            && replies.iter().any(|reply| reply.after_garbage)
        {
            // A reply is missing and one was unreadable: those that came may answer other commands.
            return Err((Trouble::OutOfStep, stage));
        }
        for (step, reply) in batch.iter().zip(&replies) {
            self.act(*step, reply, progress);
        }
        broken.map_or(Ok(()), Err)
    }

    fn act(&mut self, step: Step, reply: &Reply, progress: &mut Progress) {
        match step {
            Step::XforwardName | Step::XforwardProto => {
                if !reply.is_success() {
                    let command = step.stage().command();
                    log::warn!(
                        "host {} said: {} (in reply to {command})",
                        self.session.long,
                        reply.text
                    );
                }
            }
            Step::Mail => {
                if !reply.is_success() {
                    progress.mail_refused = true;
                    let failure = self.session.said(reply, Stage::Mail);
                    let open = self.job.open();
                    self.job.message_fail(&open, &failure);
                }
            }
            Step::Rcpt(_) if progress.mail_refused => {}
            Step::Rcpt(index) => self.act_on_rcpt(index, reply, progress),
            Step::Data => self.act_on_data(reply, progress),
            // A session that is kept has to answer another RSET before it is used.
            Step::Rset => {}
        }
    }

    fn act_on_rcpt(&mut self, index: usize, reply: &Reply, progress: &mut Progress) {
        if !reply.is_success() {
            let failure = self.session.said(reply, Stage::Rcpt);
            self.job.recipient_fail(index, &failure);
            return;
        }
        if self.job.is_trace_only() && self.settings.probe_target == ProbeTarget::Rcpt {
            self.accept(index, reply);
        }
        progress.accepted.push(index);
    }

    fn act_on_data(&mut self, reply: &Reply, progress: &mut Progress) {
        progress.data_sent = true;
        if reply.class() == 3 {
            progress.data_open = true;
            if self.job.is_trace_only() {
                progress.probed = true;
                for index in std::mem::take(&mut progress.accepted) {
                    self.accept(index, reply);
                }
            }
            return;
        }
        let mut failure = self.session.said(reply, Stage::Data);
        if reply.is_success() {
            failure.dsn.status = "5.5.0".into();
            failure.dsn.reason = format!("Protocol error: {}", failure.dsn.reason).into();
        }
        if !progress.accepted.is_empty() {
            self.job.message_fail(&progress.accepted, &failure);
        }
    }

    /// Tells that a recipient has the message (or would get it).
    fn accept(&mut self, index: usize, reply: &Reply) {
        let passed_on = self.session.offers(Keywords::DSN);
        let is_final = self.settings.role == Role::Lmtp && self.options.is_final && !passed_on;
        let status: BString = if reply.is_success() {
            reply.status()
        } else {
            "2.0.0".into()
        };
        let dsn = Dsn {
            status,
            diag_type: "smtp".into(),
            diag_text: reply.text.clone(),
            mta_type: "dns".into(),
            mta_mname: self.session.peer.host.clone(),
            action: if is_final {
                "delivered".into()
            } else {
                "relayed".into()
            },
            reason: reply.text.clone(),
        };
        self.job.sent(index, &dsn, passed_on);
    }

    /// Everything after the last command: content, or whatever ends the transaction.
    fn after_commands(&mut self, progress: &Progress) -> Result<(), (Trouble, Stage)> {
        if progress.data_open && !progress.accepted.is_empty() {
            self.send_content(&progress.accepted)?;
        } else if progress.data_open {
            self.close_empty_data()?;
        } else if progress.data_sent {
            self.session
                .set_timeout(self.settings, self.settings.timeouts.rset);
            self.reset().map_err(|trouble| (trouble, Stage::Rset))?;
        }
        self.session.in_step = true;
        self.job.completed = true;
        Ok(())
    }

    /// Ends a transaction that came to nothing. What the server answers is all the same.
    fn reset(&mut self) -> Result<(), Trouble> {
        self.session.check_in_step()?;
        self.session.command(b"RSET");
        self.maybe_quit();
        self.session.flush()?;
        self.session
            .reply(self.settings, self.tables, &self.job.request.queue_id)
            .map(|_| ())
    }

    /// The server waits for content, but nobody is left to get it.
    fn close_empty_data(&mut self) -> Result<(), (Trouble, Stage)> {
        self.session
            .set_timeout(self.settings, self.settings.timeouts.data_done);
        self.session
            .check_in_step()
            .map_err(|trouble| (trouble, Stage::Dot))?;
        self.session.command(b".");
        self.maybe_quit();
        self.session
            .flush()
            .map_err(|trouble| (trouble, Stage::Dot))?;
        if self.settings.role == Role::Smtp {
            self.session
                .reply(self.settings, self.tables, &self.job.request.queue_id)
                .map_err(|trouble| (trouble, Stage::Dot))?;
        }
        Ok(())
    }

    /// QUIT goes out together with the last command when the session will not be kept.
    fn maybe_quit(&mut self) {
        if !self.session.keep && self.session.offers(Keywords::PIPELINING) {
            self.session.command(b"QUIT");
            self.session.quit_sent = true;
        }
    }

    fn send_content(&mut self, accepted: &[usize]) -> Result<(), (Trouble, Stage)> {
        self.session.set_content_timeout(self.settings);
        self.session
            .check_in_step()
            .map_err(|trouble| (trouble, Stage::Content))?;
        let downgrade = self.downgrade();
        let sent = content::send(
            self.session,
            self.job,
            self.settings,
            self.tables,
            self.source,
            self.options,
            downgrade,
        );
        match sent {
            Ok(()) => {}
            Err(ContentError::Peer(trouble)) => return self.content_broken(accepted, trouble),
            Err(ContentError::Local(failure)) => {
                // What was sent is not the message: only hanging up keeps the server from taking it.
                self.session.data_error = true;
                self.session.keep = false;
                self.session.dead = true;
                self.job.message_fail(accepted, &failure);
                return Ok(());
            }
        }
        self.session
            .set_timeout(self.settings, self.settings.timeouts.data_done);
        self.session
            .check_in_step()
            .map_err(|trouble| (trouble, Stage::Content))?;
        self.session.command(b".");
        self.maybe_quit();
        self.session
            .flush()
            .map_err(|trouble| (trouble, Stage::Dot))?;
        self.final_replies(accepted)
    }

    /// The connection broke while content was sent: the server may have said why.
    fn content_broken(
        &mut self,
        accepted: &[usize],
        trouble: Trouble,
    ) -> Result<(), (Trouble, Stage)> {
        if trouble == Trouble::Lost
            && let Ok(reply) =
                self.session
                    .reply(self.settings, self.tables, &self.job.request.queue_id)
            && matches!(reply.class(), 4 | 5)
        {
            let failure = self.session.said(&reply, Stage::Dot);
            self.job.message_fail(accepted, &failure);
        }
        Err((trouble, Stage::Content))
    }

    /// The verdict: one reply, or in LMTP one for each accepted recipient.
    fn final_replies(&mut self, accepted: &[usize]) -> Result<(), (Trouble, Stage)> {
        let queue_id = self.job.request.queue_id.clone();
        let mut groups: Vec<&[usize]> = vec![accepted];
        if self.settings.role == Role::Lmtp {
            groups = accepted.chunks(1).collect();
        }
        let mut replies: Vec<Reply> = Vec::with_capacity(groups.len());
        let mut broken = None;
        while replies.len() < groups.len() && broken.is_none() {
            match self.session.reply(self.settings, self.tables, &queue_id) {
                Ok(reply) => replies.push(reply),
                Err(trouble) => broken = Some((trouble, Stage::Dot)),
            }
        }
        let others_due = groups.len() > 1 || self.session.quit_sent;
        if others_due && replies.iter().any(|reply| reply.after_garbage) {
            self.expect_all_answered(broken.is_none(), &queue_id)?;
        }
        for (group, reply) in groups.into_iter().zip(&replies) {
            if reply.is_success() {
                for index in group {
                    self.accept(*index, reply);
                }
            } else {
                let failure = self.session.said(reply, Stage::Dot);
                self.job.message_fail(group, &failure);
            }
        }
        broken.map_or(Ok(()), Err)
    }

    /// After garbage in place of a reply, or before it: the replies belong to their commands only
    /// when each command got one, the QUIT that went out with the final dot included.
    fn expect_all_answered(
        &mut self,
        complete: bool,
        queue_id: &str,
    ) -> Result<(), (Trouble, Stage)> {
        let mut in_step = complete;
        if complete && self.session.quit_sent {
            self.session
                .set_timeout(self.settings, self.settings.timeouts.quit);
            in_step = self
                .session
                .reply(self.settings, self.tables, queue_id)
                .is_ok();
            // The farewell is read; there is nothing left to say.
            self.session.dead = true;
        }
        if in_step {
            Ok(())
        } else {
            Err((Trouble::OutOfStep, Stage::Dot))
        }
    }
}

/// Whether MAIL is still to be sent.
fn has_mail_ahead(steps: &[Step], at: usize) -> bool {
    steps.iter().skip(at).any(|step| *step == Step::Mail)
}
