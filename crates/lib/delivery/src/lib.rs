//! What delivery agents share: requests, status lines, bounce and defer logging, done-marks, mailbox writing.
#![forbid(unsafe_code)]
