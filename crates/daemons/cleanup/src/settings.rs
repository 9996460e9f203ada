//! The parameters that cleanup reads, once per process.

use std::time::Duration;

use bstr::{BStr, BString};
use postern_config::milters::MilterService;
use postern_config::words::{name_set, words};
use postern_config::{Config, ConfigError, Look, Param, params};
use postern_ipc::client::{Endpoint, PRIVATE, PUBLIC};
use postern_mail::date::Day;
use postern_mail::printable::unescape;

/// Where an address stands, bits of `*_classes`.
pub(crate) mod class {
    pub(crate) const ENVELOPE_SENDER: u32 = 1;
    pub(crate) const ENVELOPE_RECIPIENT: u32 = 2;
    pub(crate) const HEADER_SENDER: u32 = 4;
    pub(crate) const HEADER_RECIPIENT: u32 = 8;
}

const CLASS_NAMES: [(&str, u32); 4] = [
    ("envelope_sender", class::ENVELOPE_SENDER),
    ("envelope_recipient", class::ENVELOPE_RECIPIENT),
    ("header_sender", class::HEADER_SENDER),
    ("header_recipient", class::HEADER_RECIPIENT),
];

const PROPAGATE_CANONICAL: u32 = 1;
const PROPAGATE_VIRTUAL: u32 = 2;
const PROPAGATE_NAMES: [(&str, u32); 6] = [
    ("canonical", PROPAGATE_CANONICAL),
    ("virtual", PROPAGATE_VIRTUAL),
    ("alias", 4),
    ("forward", 8),
    ("include", 16),
    ("generic", 32),
];

/// A level of `masquerade_domains`: the domain, and whether its subdomains are to be kept.
#[derive(Debug)]
pub(crate) struct Masquerade {
    pub(crate) domain: BString,
    pub(crate) keep: bool,
}

/// See postconf(5) for what each parameter means.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) canonical_classes: u32,
    pub(crate) sender_canonical_classes: u32,
    pub(crate) recipient_canonical_classes: u32,
    pub(crate) masquerade_classes: u32,
    pub(crate) masquerade_domains: Vec<Masquerade>,
    pub(crate) propagate_canonical: bool,
    pub(crate) propagate_virtual: bool,
    pub(crate) virtual_expansion_limit: usize,
    pub(crate) virtual_recursion_limit: usize,
    pub(crate) virtual_address_limit: usize,
    pub(crate) duplicate_filter_limit: usize,
    pub(crate) enable_original_recipient: bool,
    pub(crate) always_bcc: BString,
    pub(crate) empty_address_recipient: BString,
    pub(crate) delay_warning_time: i64,
    pub(crate) attribute_count_limit: usize,
    pub(crate) hopcount_limit: usize,
    pub(crate) verp_delimiter_filter: BString,
    pub(crate) myhostname: BString,
    pub(crate) remote_rewriting: bool,
    pub(crate) always_add_missing_headers: bool,
    pub(crate) undisclosed_recipients_header: BString,
    pub(crate) drop_headers: Vec<BString>,
    pub(crate) obsolete_from: bool,
    pub(crate) detect_8bit_header: bool,
    pub(crate) header_size_limit: usize,
    pub(crate) header_token_limit: usize,
    pub(crate) line_length_limit: usize,
    pub(crate) replace_stray: bool,
    pub(crate) reject_characters: BString,
    pub(crate) strip_characters: BString,
    pub(crate) body_checks_limit: u64,
    pub(crate) mime: MimeSettings,
    pub(crate) smtputf8: bool,
    pub(crate) long_queue_ids: bool,
    pub(crate) log_internal: bool,
    pub(crate) delay_resolution: u32,
    pub(crate) soft_bounce: bool,
    pub(crate) log_removed: bool,
    pub(crate) date_day: Day,
    /// Headers added here count for SMTPUTF8, too.
    pub(crate) detect_in_added: bool,
    /// Milters for mail that does not come from smtpd.
    pub(crate) milters: Vec<MilterService>,
    pub(crate) ipc_timeout: Duration,
    pub(crate) trigger_timeout: Duration,
    pub(crate) bounce: Endpoint,
    pub(crate) defer: Endpoint,
    pub(crate) trace: Endpoint,
    pub(crate) verify: Endpoint,
    pub(crate) queue_manager: Endpoint,
}

/// What the MIME parser reports.
#[derive(Debug)]
pub(crate) struct MimeSettings {
    pub(crate) disabled: bool,
    pub(crate) strict_header: bool,
    pub(crate) strict_body: bool,
    pub(crate) strict_encoding_domain: bool,
    pub(crate) nesting_limit: usize,
    pub(crate) boundary_limit: usize,
    pub(crate) force_conversion: bool,
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Result<Self, ConfigError> {
        let classes = |param: Param<String>| {
            name_set(param.info.name, &config.get(param), &CLASS_NAMES, true)
        };
        let bytes = |param: Param<String>| BString::from(config.get(param));
        let size = |param: Param<i32>| usize::try_from(config.get(param)).unwrap_or(0);
        let private = |param: Param<String>| Endpoint::new(PRIVATE, &config.get(param));
        let propagate = name_set(
            params::PROPAGATE_UNMATCHED_EXTENSIONS.info.name,
            &config.get(params::PROPAGATE_UNMATCHED_EXTENSIONS),
            &PROPAGATE_NAMES,
            true,
        )?;
        let look: Look = config.look();
        Ok(Self {
            canonical_classes: classes(params::CANONICAL_CLASSES)?,
            sender_canonical_classes: classes(params::SENDER_CANONICAL_CLASSES)?,
            recipient_canonical_classes: classes(params::RECIPIENT_CANONICAL_CLASSES)?,
            masquerade_classes: classes(params::MASQUERADE_CLASSES)?,
            masquerade_domains: words(&config.get(params::MASQUERADE_DOMAINS))
                .map(masquerade)
                .collect(),
            propagate_canonical: propagate & PROPAGATE_CANONICAL != 0,
            propagate_virtual: propagate & PROPAGATE_VIRTUAL != 0,
            virtual_expansion_limit: size(params::VIRTUAL_ALIAS_EXPANSION_LIMIT),
            virtual_recursion_limit: size(params::VIRTUAL_ALIAS_RECURSION_LIMIT),
            virtual_address_limit: size(params::VIRTUAL_ALIAS_ADDRESS_LENGTH_LIMIT),
            duplicate_filter_limit: size(params::DUPLICATE_FILTER_LIMIT),
            enable_original_recipient: config.get(params::ENABLE_ORIGINAL_RECIPIENT),
            always_bcc: bytes(params::ALWAYS_BCC),
            empty_address_recipient: bytes(params::EMPTY_ADDRESS_RECIPIENT),
            delay_warning_time: seconds(config.get(params::DELAY_WARNING_TIME)),
            attribute_count_limit: size(params::QUEUE_FILE_ATTRIBUTE_COUNT_LIMIT),
            hopcount_limit: size(params::HOPCOUNT_LIMIT),
            verp_delimiter_filter: bytes(params::VERP_DELIMITER_FILTER),
            myhostname: bytes(params::MYHOSTNAME),
            remote_rewriting: !config.get(params::REMOTE_HEADER_REWRITE_DOMAIN).is_empty(),
            always_add_missing_headers: config.get(params::ALWAYS_ADD_MISSING_HEADERS),
            undisclosed_recipients_header: bytes(params::UNDISCLOSED_RECIPIENTS_HEADER),
            drop_headers: words(&config.get(params::MESSAGE_DROP_HEADERS))
                .map(BString::from)
                .collect(),
            obsolete_from: config
                .get(params::HEADER_FROM_FORMAT)
                .eq_ignore_ascii_case("obsolete"),
            detect_8bit_header: config.get(params::DETECT_8BIT_ENCODING_HEADER),
            header_size_limit: size(params::HEADER_SIZE_LIMIT),
            header_token_limit: size(params::HEADER_ADDRESS_TOKEN_LIMIT),
            line_length_limit: size(params::LINE_LENGTH_LIMIT).max(1),
            replace_stray: config.get(params::CLEANUP_REPLACE_STRAY_CR_LF),
            reject_characters: unescape(BStr::new(&config.get(params::MESSAGE_REJECT_CHARACTERS))),
            strip_characters: unescape(BStr::new(&config.get(params::MESSAGE_STRIP_CHARACTERS))),
            body_checks_limit: u64::try_from(config.get(params::BODY_CHECKS_SIZE_LIMIT))
                .unwrap_or(0),
            mime: MimeSettings::new(config),
            smtputf8: config.get(params::SMTPUTF8_ENABLE),
            long_queue_ids: config.get(params::ENABLE_LONG_QUEUE_IDS),
            log_internal: config.get(params::INFO_LOG_ADDRESS_FORMAT) == "internal",
            delay_resolution: u32::try_from(config.get(params::DELAY_LOGGING_RESOLUTION_LIMIT))
                .unwrap_or(2),
            soft_bounce: config.get(params::SOFT_BOUNCE),
            log_removed: look.cleanup_log_removed(),
            date_day: if look.date_two_digit_day() {
                Day::Zero
            } else {
                Day::Blank
            },
            detect_in_added: look.cleanup_log_removed(),
            milters: MilterService::list(
                &config.get(params::NON_SMTPD_MILTERS),
                &config.get(params::MILTER_DEFAULT_ACTION),
            ),
            ipc_timeout: config.get(params::IPC_TIMEOUT),
            trigger_timeout: config.get(params::TRIGGER_TIMEOUT),
            bounce: private(params::BOUNCE_SERVICE_NAME),
            defer: private(params::DEFER_SERVICE_NAME),
            trace: private(params::TRACE_SERVICE_NAME),
            verify: private(params::ADDRESS_VERIFY_SERVICE_NAME),
            queue_manager: Endpoint::new(PUBLIC, &config.get(params::QUEUE_SERVICE_NAME)),
        })
    }
}

impl MimeSettings {
    fn new(config: &Config) -> Self {
        let strict = config.get(params::STRICT_8BITMIME);
        let size = |param: Param<i32>| usize::try_from(config.get(param)).unwrap_or(0);
        Self {
            disabled: config.get(params::DISABLE_MIME_INPUT_PROCESSING),
            strict_header: strict || config.get(params::STRICT_7BIT_HEADERS),
            strict_body: strict || config.get(params::STRICT_8BITMIME_BODY),
            strict_encoding_domain: config.get(params::STRICT_MIME_ENCODING_DOMAIN),
            nesting_limit: size(params::MIME_NESTING_LIMIT),
            boundary_limit: size(params::MIME_BOUNDARY_LENGTH_LIMIT),
            force_conversion: config.get(params::FORCE_MIME_INPUT_CONVERSION),
        }
    }
}

fn masquerade(word: &str) -> Masquerade {
    let domain = word.trim_start_matches('!');
    Masquerade {
        domain: BString::from(domain),
        keep: (word.len() - domain.len()) % 2 == 1,
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}
