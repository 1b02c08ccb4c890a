//! Messages that are written already: what many are told is written once, and each of them gets those bytes.

use bytes::{BufMut, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;

/// A message in two parts, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// What others are told as well.
    pub(crate) shared: Bytes,
    /// What is this answer's own.
    pub(crate) own: Vec<u8>,
}

/// Reads messages of the kind `T` and writes what is written already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadyCodec<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Default for ReadyCodec<T> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: Message + Default + 'static> Codec for ReadyCodec<T> {
    type Encode = Written;
    type Decode = T;
    type Encoder = WrittenEncoder;
    type Decoder = <ProstCodec<T, T> as Codec>::Decoder;

    fn encoder(&mut self) -> WrittenEncoder {
        WrittenEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, T>::default().decoder()
    }
}

/// Passes bytes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenEncoder;

impl Encoder for WrittenEncoder {
    type Item = Written;
    type Error = Status;

    fn encode(&mut self, item: Written, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put(item.shared);
        to.put_slice(&item.own);
        Ok(())
    }
}
