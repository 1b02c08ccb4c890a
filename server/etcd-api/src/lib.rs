//! The part of etcd's gRPC API that the store uses, generated from `etcd.proto`.
//!
//! Nothing else lives here: how it is used, and what happens when etcd does not answer, is in the
//! server's `store/etcd`.

#![allow(missing_docs, clippy::all)]

tonic::include_proto!("etcdserverpb");
