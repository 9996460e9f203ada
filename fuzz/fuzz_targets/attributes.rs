//! Attribute lists from other processes, decoded as the messages of several services.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use postern_attr::{Encoding, Extra, complete_list, more, read, to_bytes};
use postern_ipc::{
    anvil, bounce, cleanup, deliver, proxymap, rewrite, scache, showq, tlsmgr, verify,
};
use serde::{Serialize, de::DeserializeOwned};

/// What can be decoded can be encoded, and is the same after another round.
fn decode<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8], encoding: Encoding, extra: Extra) {
    let Ok(list) = read::<T>(&mut &*bytes, encoding, extra) else {
        return;
    };
    let encoded = to_bytes(encoding, &list).expect("a decoded list can be encoded");
    let again: T = read(&mut &*encoded, encoding, Extra::Refuse).expect("and decoded again");
    assert_eq!(
        to_bytes(encoding, &again).expect("and encoded again"),
        encoded,
        "{list:?}"
    );
}

fuzz_target!(|input: &[u8]| {
    let Some((switch, bytes)) = input.split_first() else {
        return;
    };
    let encoding = if switch & 1 == 0 {
        Encoding::Null
    } else {
        Encoding::Plain
    };
    let extra = match switch >> 1 & 3 {
        0 => Extra::Skip,
        1 => Extra::Leave,
        _ => Extra::Refuse,
    };
    if let Some(length) = complete_list(bytes, encoding) {
        assert!(length <= bytes.len());
    }
    let _ = more(&mut &*bytes, encoding);
    decode::<deliver::Request>(bytes, encoding, extra);
    decode::<deliver::Recipient>(bytes, encoding, extra);
    decode::<deliver::Reply>(bytes, encoding, extra);
    decode::<cleanup::Hello>(bytes, encoding, extra);
    decode::<cleanup::Reply>(bytes, encoding, extra);
    decode::<rewrite::ResolveBody>(bytes, encoding, extra);
    decode::<rewrite::ResolveReply>(bytes, encoding, extra);
    decode::<bounce::AppendBody>(bytes, encoding, extra);
    decode::<bounce::OneBody>(bytes, encoding, extra);
    decode::<showq::Message>(bytes, encoding, extra);
    decode::<verify::QueryReply>(bytes, encoding, extra);
    decode::<scache::FindDestinationReply>(bytes, encoding, extra);
    decode::<proxymap::UpdateBody>(bytes, encoding, extra);
    decode::<tlsmgr::SessionReply>(bytes, encoding, extra);
    decode::<anvil::Request>(bytes, encoding, extra);
    decode::<anvil::LookupReply>(bytes, encoding, extra);
});
