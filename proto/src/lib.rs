//! The `outrigger.v1` protocol: the code generated from `proto/outrigger/v1/*.proto`, and the few rules of the
//! contract that a .proto file cannot hold: message sizes ([`limits`]), the status code of each
//! [`v1::Reason`], and how a failure travels in a status.
//!
//! Everything that both sides must agree on is here; it knows neither the client nor the sidecar.

mod error;
pub mod limits;
mod write_request;

/// The package `outrigger.v1`: messages, and the modules `store_client`, `store_server`,
/// `admin_client`, `admin_server`, `peer_client` and `peer_server`.
pub mod v1 {
    pub use crate::write_request::WriteRequest;

    tonic::include_proto!("outrigger.v1");
}

pub use error::{ERROR_DOMAIN, MAY_HAVE_HAPPENED_METADATA, REASON_METADATA};

/// The encoded `FileDescriptorSet` of the protocol, comments included: for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("outrigger.v1");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::{FileDescriptorProto, FileDescriptorSet};

    use super::FILE_DESCRIPTOR_SET;

    fn contract() -> Vec<FileDescriptorProto> {
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("a descriptor set");
        set.file.into_iter().filter(|file| file.package() == "outrigger.v1").collect()
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
            assert_eq!(options.go_package(), "outrigger/v1;outriggerv1");
            assert_eq!(options.java_package(), "com.outrigger.v1");
            assert!(options.java_multiple_files() && !options.java_outer_classname().is_empty());
            assert_eq!(options.csharp_namespace(), "Outrigger.V1");
            assert_eq!(options.php_namespace(), "Outrigger\\V1");
            assert_eq!(options.ruby_package(), "Outrigger::V1");
        }
    }

    #[test]
    fn reflection_can_find_every_service() {
        let files = contract();
        let services = files.iter().flat_map(|file| &file.service);
        let names: BTreeSet<_> = services.map(|service| service.name()).collect();
        assert_eq!(names, BTreeSet::from(["Admin", "Peer", "Store"]));
    }
}
