//! The contract between `pinion` and `piniond`, generated from `pinion/v1/*.proto`.
//!
//! Nothing else lives here but the printing of messages as JSON: the server maps these types in
//! `rpc/wire`, the client shows them.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions};

/// The `pinion.v1` package: messages, clients and servers.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("pinion.v1");
}

/// The encoded `FileDescriptorSet` of the package, for reflection and for printing messages as JSON.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pinion.v1.bin"));

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(FILE_DESCRIPTOR_SET)
        .expect("the build script wrote a valid descriptor set")
});

/// The message as JSON: the field names of the proto files, 64-bit integers as numbers, defaults shown.
///
/// The shape is protobuf's JSON mapping (<https://protobuf.dev/programming-guides/json/>) but for those options.
pub fn to_json<M: Message + Name>(message: &M) -> serde_json::Value {
    let descriptor = POOL
        .get_message_by_name(&M::full_name())
        .expect("every message of the package is in its descriptor set");
    let mut dynamic = DynamicMessage::new(descriptor);
    dynamic
        .transcode_from(message)
        .expect("a message transcodes to its own descriptor");
    let options = SerializeOptions::new()
        .stringify_64_bit_integers(false)
        .skip_default_fields(false)
        .use_proto_field_name(true);
    dynamic
        .serialize_with_options(serde_json::value::Serializer, &options)
        .expect("a message of this package has a JSON form")
}
