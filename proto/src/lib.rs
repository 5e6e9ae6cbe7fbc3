#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod error;
pub mod limits;
mod rpc {
    include!(concat!(env!("OUT_DIR"), "/rpc.rs"));
}
mod write_request;

/// The package `outrigger.v1`: messages, and the modules `store_client`, `store_server`, `admin_client`
/// and `admin_server`.
pub mod v1 {
    pub use crate::write_request::WriteRequest;

    tonic::include_proto!("outrigger.v1");
}

/// What the nodes of one store ask each other. Applications have no use for it.
pub mod peer {
    /// The package `outrigger.peer.v1`: messages, and the modules `peer_client` and `peer_server`.
    pub mod v1 {
        tonic::include_proto!("outrigger.peer.v1");
    }
}

pub use error::{ERROR_DOMAIN, MAY_HAVE_HAPPENED_METADATA, REASON_METADATA};
pub use rpc::Rpc;

/// The encoded `FileDescriptorSet` of both packages, comments included: for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("outrigger");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::{FileDescriptorProto, FileDescriptorSet};

    use super::{FILE_DESCRIPTOR_SET, Rpc};

    fn contract() -> Vec<FileDescriptorProto> {
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("a descriptor set");
        set.file.into_iter().filter(|file| file.package().starts_with("outrigger.")).collect()
    }

    /// Every message, enum and service (by their field in the file's descriptor), and their members.
    fn elements(file: &FileDescriptorProto) -> Vec<(Vec<i32>, String)> {
        const MEMBER: i32 = 2;
        let messages = file.message_type.iter().map(|message| {
            (4, message.name(), message.field.iter().map(|field| field.name()).collect())
        });
        let enums = file
            .enum_type
            .iter()
            .map(|kind| (5, kind.name(), kind.value.iter().map(|value| value.name()).collect()));
        let services = file.service.iter().map(|service| {
            (6, service.name(), service.method.iter().map(|method| method.name()).collect())
        });

        let mut elements = Vec::new();
        for group in [messages.collect::<Vec<_>>(), enums.collect(), services.collect()] {
            for (index, (kind, name, members)) in (0..).zip(group) {
                elements.push((vec![kind, index], name.to_owned()));
                let members: Vec<&str> = members;
                for (member, member_name) in (0..).zip(members) {
                    elements
                        .push((vec![kind, index, MEMBER, member], format!("{name}.{member_name}")));
                }
            }
        }
        elements
    }

    #[test]
    fn everything_in_the_contract_is_documented() {
        let mut seen = 0;
        for file in contract() {
            let locations = &file.source_code_info.as_ref().expect("comments are kept").location;
            let documented: BTreeSet<&[i32]> = locations
                .iter()
                .filter(|location| !location.leading_comments().trim().is_empty())
                .map(|location| &location.path[..])
                .collect();
            let elements = elements(&file);
            seen += elements.len();
            let bare: Vec<_> =
                elements.iter().filter(|(path, _)| !documented.contains(&path[..])).collect();
            assert!(bare.is_empty(), "{bare:?}");
        }
        assert!(seen > 150, "{seen} elements");
    }

    #[test]
    fn every_language_knows_where_its_code_belongs() {
        for file in contract() {
            let options = file.options.as_ref().expect("options");
            let parts: Vec<&str> = file.package().split('.').collect();
            let capital: Vec<String> = parts.iter().map(|part| capitalised(part)).collect();
            let go = format!("{};{}", parts.join("/"), parts.concat());
            assert_eq!(options.go_package(), go);
            assert_eq!(options.java_package(), format!("com.{}", file.package()));
            assert!(options.java_multiple_files() && !options.java_outer_classname().is_empty());
            assert_eq!(options.csharp_namespace(), capital.join("."));
            assert_eq!(options.php_namespace(), capital.join("\\"));
            assert_eq!(options.ruby_package(), capital.join("::"));
        }
    }

    fn capitalised(word: &str) -> String {
        let (first, others) = word.split_at(1);
        first.to_uppercase() + others
    }

    #[test]
    fn reflection_can_find_every_service() {
        let files = contract();
        let names: BTreeSet<_> = files
            .iter()
            .flat_map(|file| file.service.iter().map(|service| (file.package(), service.name())))
            .collect();
        let expected =
            [("outrigger.peer.v1", "Peer"), ("outrigger.v1", "Admin"), ("outrigger.v1", "Store")];
        assert_eq!(names, BTreeSet::from(expected));
    }

    #[test]
    fn every_call_of_the_contract_is_one_of_all() {
        let mut paths = BTreeSet::new();
        for file in contract() {
            for service in &file.service {
                for method in &service.method {
                    let service = format!("{}.{}", file.package(), service.name());
                    paths.insert(format!("/{service}/{}", method.name()));
                }
            }
        }
        let all: BTreeSet<_> = Rpc::ALL.into_iter().map(|rpc| rpc.path().to_owned()).collect();
        assert_eq!((all, Rpc::ALL.len()), (paths.clone(), paths.len()));
        assert!(Rpc::ALL.into_iter().all(|rpc| Rpc::of(rpc.path()) == Some(rpc)));
        for other in ["", "/", "/grpc.health.v1.Health/Check", "/outrigger.v1.Store/get"] {
            assert_eq!(Rpc::of(other), None, "{other}");
        }
    }
}
