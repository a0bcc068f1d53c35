/* SPDX-License-Identifier: MIT
 *
 * vectors.c: the table of vectors.h. Lengths come from the literals: a valid header is written as (header, what follows
 * it), a wrong one as (the bytes that give it away, what follows them). Checksums were computed by other means than
 * ours.
 */
#include "vectors.h"

#define LENGTH(literal) (sizeof(literal) - 1)
#define BYTES(first, then) .bytes = (const uint8_t *)(first then), .size = LENGTH(first then), .decided = LENGTH(first)

#define VALID(header, then) BYTES(header, then), .verdict = PPS_HEADER_COMPLETE
#define WRONG(decisive, then, why) BYTES(decisive, then), .verdict = PPS_HEADER_INVALID, .reason = PPS_REASON_##why
#define LINE(header, then) VALID(header, then), .version = 1
#define BINARY(header, then) VALID(header, then), .version = 2
#define CLIENT(from, to) .src = from, .dst = to

/* Version 2 pieces. */
#define SIG "\r\n\r\n\0\r\nQUIT\n"
#define TCP4 "\xcb\x00\x71\x07\xc6\x33\x64\x09\x12\x67\x0c\xea"
#define TCP4_CLIENT CLIENT("203.0.113.7:4711", "198.51.100.9:3306")
#define NET6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0"
#define TCP6                                                                                                           \
    NET6 "\0\x07" NET6 "\0\x09"                                                                                        \
         "\x12\x67\x0c\xea"
#define TCP6_CLIENT CLIENT("[2001:db8::7]:4711", "[2001:db8::9]:3306")
#define ZEROS_8 "\0\0\0\0\0\0\0\0"
#define ZEROS_36 ZEROS_8 ZEROS_8 ZEROS_8 ZEROS_8 "\0\0\0\0"
#define UNIX_PATH "/run/haproxy.sock" ZEROS_36 ZEROS_36 ZEROS_8 ZEROS_8 "\0\0\0" /* 108 bytes */
#define UNIX UNIX_PATH UNIX_PATH
#define ID                                                                                                             \
    "\x05\x00\x04"                                                                                                     \
    "id-1"

/* Long addresses, for lines near 107 bytes. */
#define LONG_45 "0000:0000:0000:0000:0000:ffff:255.255.255.255"
#define LONG_44 "0000:0000:0000:0000:0000:ffff:255.255.255.25"
#define SIXTY "............................................................"
#define TEXT_90 SIXTY ".............................."
#define TEXT_360 TEXT_90 TEXT_90 TEXT_90 TEXT_90
#define TEXT_1532 TEXT_360 TEXT_360 TEXT_360 TEXT_360 TEXT_90 ".."

/* How the record of a TLS 1.3 ClientHello begins. */
#define CLIENT_HELLO "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"

const struct vector vectors[] = {
    /* version 1, right */
    {"v1_tcp4_line_names_the_client", LINE("PROXY TCP4 203.0.113.7 198.51.100.9 4711 3306\r\n", ""), TCP4_CLIENT},
    {"v1_longest_tcp4_line_is_accepted", LINE("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", ""),
     CLIENT("255.255.255.255:65535", "255.255.255.255:65535")},
    {"v1_port_zero_is_accepted", LINE("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n", ""), CLIENT("0.0.0.0:0", "0.0.0.0:0")},
    {"v1_tcp6_line_names_the_client", LINE("PROXY TCP6 2001:db8::7 2001:db8::9 4711 3306\r\n", ""), TCP6_CLIENT},
    {"v1_longest_tcp6_line_without_dots_is_accepted",
     LINE("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 1111:2222:3333:4444:5555:6666:7777:8888 65535 65535\r\n",
          ""),
     CLIENT("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[1111:2222:3333:4444:5555:6666:7777:8888]:65535")},
    {"v1_hex_digits_of_either_case_are_accepted", LINE("PROXY TCP6 2001:DB8::aBcD FE80::Ef 1 2\r\n", ""),
     CLIENT("[2001:db8::abcd]:1", "[fe80::ef]:2")},
    {"v1_hex_groups_may_have_leading_zeros", LINE("PROXY TCP6 2001:0db8::0007 0:00:000:0000:0:0:0:0001 1 2\r\n", ""),
     CLIENT("[2001:db8::7]:1", "[::1]:2")},
    {"v1_double_colon_alone_or_first_is_accepted", LINE("PROXY TCP6 :: ::1 1 2\r\n", ""), CLIENT("[::]:1", "[::1]:2")},
    {"v1_double_colon_last_is_accepted", LINE("PROXY TCP6 1:: 1:2:3:4:5:6:7:: 1 2\r\n", ""),
     CLIENT("[1::]:1", "[1:2:3:4:5:6:7:0]:2")},
    {"v1_double_colon_may_stand_for_one_group", LINE("PROXY TCP6 ::2:3:4:5:6:7:8 1:2:3::5:6:7:8 1 2\r\n", ""),
     CLIENT("[0:2:3:4:5:6:7:8]:1", "[1:2:3:0:5:6:7:8]:2")},
    {"v1_mapped_tcp6_address_is_ipv4", LINE("PROXY TCP6 ::ffff:203.0.113.7 ::FFFF:c633:6409 4711 3306\r\n", ""),
     TCP4_CLIENT},
    {"v1_dotted_tail_of_any_ipv6_address_is_accepted",
     LINE("PROXY TCP6 64:ff9b::203.0.113.7 1:2:3:4:5:6:203.0.113.7 1 2\r\n", ""),
     CLIENT("[64:ff9b::cb00:7107]:1", "[1:2:3:4:5:6:cb00:7107]:2")},
    {"v1_dotted_tail_after_five_groups_and_double_colon_is_accepted",
     LINE("PROXY TCP6 1:2:3:4:5::1.2.3.4 ::1.2.3.4 1 2\r\n", ""), CLIENT("[1:2:3:4:5:0:102:304]:1", "[::102:304]:2")},
    {"v1_tcp6_line_of_107_bytes_is_accepted", LINE("PROXY TCP6 " LONG_45 " " LONG_44 " 1 2\r\n", ""),
     CLIENT("255.255.255.255:1", "255.255.255.25:2")},
    {"v1_unknown_alone_is_accepted", LINE("PROXY UNKNOWN\r\n", "")},
    {"v1_unknown_with_addresses_is_accepted", LINE("PROXY UNKNOWN 203.0.113.7 198.51.100.9 4711 3306\r\n", "")},
    {"v1_unknown_with_a_space_is_accepted", LINE("PROXY UNKNOWN \r\n", "")},
    {"v1_unknown_with_any_text_is_accepted", LINE("PROXY UNKNOWN \t\x01\x7f\x80\xff PROXY  TCP4 -1 %eth0\r\n", "")},
    {"v1_unknown_line_of_107_bytes_is_accepted", LINE("PROXY UNKNOWN " TEXT_90 ".\r\n", "")},
    {"v1_data_after_the_header_is_left_alone",
     LINE("PROXY TCP4 203.0.113.7 198.51.100.9 4711 3306\r\n", "GET / HTTP/1.0\r\n\r\n"), TCP4_CLIENT},
    {"v1_second_header_is_data",
     LINE("PROXY TCP4 203.0.113.7 198.51.100.9 4711 3306\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), TCP4_CLIENT},
    {"v1_line_break_after_the_header_is_data", LINE("PROXY TCP4 203.0.113.7 198.51.100.9 4711 3306\r\n", "\r\n"),
     TCP4_CLIENT},

    /* version 1, the line */
    {"v1_108_bytes_without_crlf_are_rejected", WRONG("PROXY UNKNOWN " TEXT_90 "..", "..", V1_TOO_LONG)},
    {"v1_line_of_108_bytes_is_rejected", WRONG("PROXY UNKNOWN " TEXT_90 "..", "\r\n", V1_TOO_LONG)},
    {"v1_cr_at_byte_108_is_too_late", WRONG("PROXY UNKNOWN " TEXT_90 "..", ".\r\n", V1_TOO_LONG)},
    {"v1_tcp6_line_of_108_bytes_is_rejected", WRONG("PROXY TCP6 " LONG_45 " " LONG_45, " 1 2\r\n", V1_TOO_LONG)},
    {"v1_tcp6_line_whose_ports_pass_107_bytes_is_rejected",
     WRONG("PROXY TCP6 " LONG_45 " " LONG_44 " 11", " 2\r\n", V1_TOO_LONG)},
    {"v1_lone_cr_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rX", "\r\n", V1_BAD_LINE)},
    {"v1_two_crs_are_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\r", "\n", V1_BAD_LINE)},
    {"v1_lone_lf_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", "\r\n", V1_BAD_LINE)},
    {"v1_nul_after_the_last_field_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\0", "\r\n", V1_BAD_LINE)},
    {"v1_nul_between_fields_is_rejected", WRONG("PROXY TCP4 1.1.1.1\0", "2.2.2.2 1 2\r\n", V1_BAD_LINE)},
    {"v1_lone_cr_after_unknown_is_rejected", WRONG("PROXY UNKNOWN text\rX", "\r\n", V1_BAD_LINE)},
    {"v1_lone_lf_after_unknown_is_rejected", WRONG("PROXY UNKNOWN\n", "EHLO client\r\n", V1_BAD_LINE)},
    {"v1_lone_lf_in_unknowns_text_is_rejected", WRONG("PROXY UNKNOWN text\n", "EHLO client\r\n", V1_BAD_LINE)},
    {"v1_nul_in_unknowns_text_is_rejected", WRONG("PROXY UNKNOWN text\0", "\r\n", V1_BAD_LINE)},
    {"v1_line_that_ends_after_the_protocol_is_rejected", WRONG("PROXY TCP4\r", "\n", V1_BAD_LINE)},
    {"v1_line_that_ends_after_one_address_is_rejected", WRONG("PROXY TCP4 1.1.1.1\r", "\n", V1_BAD_LINE)},
    {"v1_line_that_ends_after_one_port_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1\r", "\n", V1_BAD_LINE)},
    {"v1_empty_last_port_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1 \r", "\n", V1_BAD_LINE)},
    {"v1_trailing_space_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 ", "\r\n", V1_BAD_LINE)},
    {"v1_text_after_the_last_field_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1 2 ", "3\r\n", V1_BAD_LINE)},

    /* version 1, spacing and keywords */
    {"v1_double_space_before_the_protocol_is_rejected",
     WRONG("PROXY  ", "TCP4 1.1.1.1 2.2.2.2 1 2\r\n", V1_BAD_SPACING)},
    {"v1_double_space_between_addresses_is_rejected", WRONG("PROXY TCP4 1.1.1.1  ", "2.2.2.2 1 2\r\n", V1_BAD_SPACING)},
    {"v1_double_space_between_ports_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1  ", "2\r\n", V1_BAD_SPACING)},
    {"v1_tab_between_fields_is_rejected", WRONG("PROXY TCP4 1.1.1.1\t", "2.2.2.2 1 2\r\n", V1_BAD_SPACING)},
    {"v1_tab_after_the_protocol_is_rejected", WRONG("PROXY TCP4\t", "1.1.1.1 2.2.2.2 1 2\r\n", V1_BAD_SPACING)},
    {"v1_tab_after_a_space_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 \t", "1 2\r\n", V1_BAD_SPACING)},
    {"v1_tab_after_unknown_is_rejected", WRONG("PROXY UNKNOWN\t", "\r\n", V1_BAD_SPACING)},
    {"v1_tab_after_proxy_is_no_header", WRONG("PROXY\t", "TCP4 1.1.1.1 2.2.2.2 1 2\r\n", NOT_A_HEADER)},
    {"v1_lower_case_proxy_is_no_header", WRONG("p", "roxy TCP4 1.1.1.1 2.2.2.2 1 2\r\n", NOT_A_HEADER)},
    {"v1_mixed_case_proxy_is_no_header", WRONG("PROXy", " TCP4 1.1.1.1 2.2.2.2 1 2\r\n", NOT_A_HEADER)},
    {"v1_lower_case_protocol_is_rejected", WRONG("PROXY t", "cp4 1.1.1.1 2.2.2.2 1 2\r\n", V1_BAD_PROTOCOL)},
    {"v1_lower_case_unknown_is_rejected", WRONG("PROXY u", "nknown\r\n", V1_BAD_PROTOCOL)},
    {"v1_tcp5_is_rejected_at_once", WRONG("PROXY TCP5", " 1.1.1.1 2.2.2.2 1 2\r\n", V1_BAD_PROTOCOL)},
    {"v1_udp4_is_rejected", WRONG("PROXY UD", "P4 1.1.1.1 2.2.2.2 1 2\r\n", V1_BAD_PROTOCOL)},
    {"v1_protocol_cut_short_is_rejected", WRONG("PROXY TCP ", "1.1.1.1 2.2.2.2 1 2\r\n", V1_BAD_PROTOCOL)},
    {"v1_protocol_with_a_tail_is_rejected", WRONG("PROXY TCP44", " 1.1.1.1 2.2.2.2 1 2\r\n", V1_BAD_PROTOCOL)},
    {"v1_unknown_with_a_tail_is_rejected", WRONG("PROXY UNKNOWNS", "\r\n", V1_BAD_PROTOCOL)},
    {"v1_line_without_a_protocol_is_rejected", WRONG("PROXY \r", "\n", V1_BAD_LINE)},

    /* version 1, addresses */
    {"v1_octet_with_a_leading_zero_is_rejected", WRONG("PROXY TCP4 1.1.1.01", " 2.2.2.2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_octet_of_two_zeros_is_rejected", WRONG("PROXY TCP4 00", ".1.1.1 2.2.2.2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_octet_over_255_is_rejected", WRONG("PROXY TCP4 256", ".1.1.1 2.2.2.2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_three_octets_are_rejected", WRONG("PROXY TCP4 1.1.1 ", "2.2.2.2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_five_octets_are_rejected", WRONG("PROXY TCP4 1.1.1.1.", "1 2.2.2.2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_empty_octet_is_rejected", WRONG("PROXY TCP4 1..", "1.1 2.2.2.2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_address_that_begins_with_a_dot_is_rejected", WRONG("PROXY TCP4 .", "1.1.1 2.2.2.2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_name_for_an_address_is_rejected", WRONG("PROXY TCP4 l", "ocalhost 2.2.2.2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_second_address_is_checked_too", WRONG("PROXY TCP4 1.1.1.1 2.2.2.x", " 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_zone_id_is_rejected", WRONG("PROXY TCP6 fe80::1%", "eth0 ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_group_of_five_digits_is_rejected", WRONG("PROXY TCP6 00000", "::1 ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_nine_groups_are_rejected", WRONG("PROXY TCP6 1:2:3:4:5:6:7:8:", "9 ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_seven_groups_are_rejected", WRONG("PROXY TCP6 1:2:3:4:5:6:7 ", "::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_eight_groups_and_double_colon_are_rejected",
     WRONG("PROXY TCP6 1:2:3:4::5:6:7:", "8 ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_two_double_colons_are_rejected", WRONG("PROXY TCP6 1::2::", "3 ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_triple_colon_is_rejected", WRONG("PROXY TCP6 1:::", "2 ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_leading_single_colon_is_rejected", WRONG("PROXY TCP6 :1", "::2 ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_trailing_single_colon_is_rejected", WRONG("PROXY TCP6 1::2: ", "::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_letter_beyond_f_is_rejected", WRONG("PROXY TCP6 fe80::g", " ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_brackets_are_rejected", WRONG("PROXY TCP6 [", "::1] ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_dotted_part_before_the_end_is_rejected", WRONG("PROXY TCP6 ::1.2.3.4:", "5 ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_dotted_tail_too_early_is_rejected", WRONG("PROXY TCP6 1:2:3:4:5:1.", "2.3.4 ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_dotted_tail_too_late_is_rejected", WRONG("PROXY TCP6 1:2:3:4:5:6:7:1.", "2.3.4 ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_dotted_tail_with_a_leading_zero_is_rejected",
     WRONG("PROXY TCP6 ::ffff:1.02", ".3.4 ::2 1 2\r\n", V1_BAD_ADDRESS)},
    {"v1_tcp6_with_an_ipv4_source_is_named", WRONG("PROXY TCP6 1.", "1.1.1 ::2 1 2\r\n", V1_FAMILY_MISMATCH)},
    {"v1_tcp6_with_an_ipv4_destination_is_named",
     WRONG("PROXY TCP6 2001:db8::7 198.", "51.100.9 1 2\r\n", V1_FAMILY_MISMATCH)},
    {"v1_tcp4_with_an_ipv6_source_is_named",
     WRONG("PROXY TCP4 2001", ":db8::7 198.51.100.9 1 2\r\n", V1_FAMILY_MISMATCH)},
    {"v1_tcp4_with_an_ipv6_destination_is_named", WRONG("PROXY TCP4 1.1.1.1 :", ":1 1 2\r\n", V1_FAMILY_MISMATCH)},
    {"v1_tcp4_with_a_mapped_address_is_named",
     WRONG("PROXY TCP4 :", ":ffff:1.1.1.1 2.2.2.2 1 2\r\n", V1_FAMILY_MISMATCH)},

    /* version 1, ports */
    {"v1_port_with_a_leading_zero_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 08", "0 2\r\n", V1_BAD_PORT)},
    {"v1_port_of_two_zeros_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1 00", "\r\n", V1_BAD_PORT)},
    {"v1_port_65536_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 65536", " 2\r\n", V1_BAD_PORT)},
    {"v1_port_of_six_digits_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1 100000", "\r\n", V1_BAD_PORT)},
    {"v1_port_that_wraps_32_bits_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1 429496", "7297\r\n", V1_BAD_PORT)},
    {"v1_plus_sign_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 +", "1 2\r\n", V1_BAD_PORT)},
    {"v1_minus_sign_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 1 -", "2\r\n", V1_BAD_PORT)},
    {"v1_hex_port_is_rejected", WRONG("PROXY TCP4 1.1.1.1 2.2.2.2 0x", "50 2\r\n", V1_BAD_PORT)},

    /* neither version */
    {"http_request_is_no_header", WRONG("G", "ET / HTTP/1.1\r\n\r\n", NOT_A_HEADER)},
    {"http_post_is_no_header", WRONG("PO", "ST / HTTP/1.1\r\n\r\n", NOT_A_HEADER)},
    {"tls_client_hello_is_no_header", WRONG("\x16", "\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", NOT_A_HEADER)},
    {"empty_lines_are_no_header", WRONG("\r\n\r\n\r", "\nGET / HTTP/1.1\r\n", NOT_A_HEADER)},
    {"v2_signature_cut_off_is_no_header", WRONG("\r\n\r\n\0\r\nQUIT\r", "\n\x21\x11\0\0\0\0", NOT_A_HEADER)},

    /* version 2, right */
    {"v2_tcp4_names_the_client", BINARY(SIG "\x21\x11\x00\x0c" TCP4, ""), TCP4_CLIENT},
    {"v2_tcp6_names_the_client", BINARY(SIG "\x21\x21\x00\x24" TCP6, ""), TCP6_CLIENT},
    {"v2_mapped_tcp6_address_is_ipv4",
     BINARY(SIG "\x21\x21\x00\x24" ZEROS_8 "\0\0\xff\xff\xcb\x00\x71\x07" ZEROS_8 "\0\0\xff\xff\xc6\x33\x64\x09"
                "\x12\x67\x0c\xea",
            ""),
     TCP4_CLIENT},
    {"v2_data_after_the_header_is_left_alone", BINARY(SIG "\x21\x11\x00\x0c" TCP4, "GET / HTTP/1.0\r\n\r\n"),
     TCP4_CLIENT},
    {"v2_second_header_is_data", BINARY(SIG "\x21\x11\x00\x0c" TCP4, SIG "\x21\x11\x00\x0c" TCP4), TCP4_CLIENT},
    {"v2_local_without_more_is_accepted", BINARY(SIG "\x20\x00\x00\x00", ""), .local = true},
    {"v2_local_with_an_address_block_is_accepted", BINARY(SIG "\x20\x11\x00\x0c" TCP4, ""), .local = true, .tlvs = 12},
    {"v2_local_with_an_undefined_family_is_accepted", BINARY(SIG "\x20\xff\x00\x00", ""), .local = true},
    {"v2_local_shorter_than_its_family_is_accepted", BINARY(SIG "\x20\x21\x00\x01x", ""), .local = true, .tlvs = 1},
    {"v2_local_with_a_tlv_past_the_end_is_accepted", BINARY(SIG "\x20\x00\x00\x04\x04\x00\x09x", ""), .local = true,
     .tlvs = 4},
    {"v2_local_with_a_wrong_crc_is_accepted", BINARY(SIG "\x20\x00\x00\x07\x03\x00\x04\xde\xad\xbe\xef", ""),
     .local = true, .tlvs = 7, .says = "03:4"},
    {"v2_proxy_unspec_is_the_real_peer", BINARY(SIG "\x21\x00\x00\x00", "")},
    {"v2_proxy_unspec_may_carry_tlvs", BINARY(SIG "\x21\x00\x00\x07" ID, ""), .tlvs = 7, .says = "05:4 unique-id=id-1"},
    {"v2_proxy_unspec_block_that_is_no_tlvs_is_skipped", BINARY(SIG "\x21\x00\x00\x0c" TCP4, "data")},
    {"v2_proxy_unspec_stream_block_that_is_no_tlvs_is_skipped", BINARY(SIG "\x21\x01\x00\x01x", "data")},
    {"v2_proxy_unspec_dgram_block_that_ends_in_no_tlv_is_skipped", BINARY(SIG "\x21\x02\x00\x09" ID "\0\0", "data")},
    {"v2_proxy_unspec_block_that_is_no_tlvs_has_no_checksum",
     BINARY(SIG "\x21\x00\x00\x0f\x03\x00\x04\0\0\0\0\x03\x00\x04\0\0\0\0x", "")},
    {"v2_proxy_unspec_family_with_stream_is_the_real_peer", BINARY(SIG "\x21\x01\x00\x00", "")},
    {"v2_proxy_unspec_family_with_dgram_is_the_real_peer", BINARY(SIG "\x21\x02\x00\x00", "")},
    {"v2_proxy_inet_with_unspec_transport_is_the_real_peer", BINARY(SIG "\x21\x10\x00\x0c" TCP4, "")},
    {"v2_proxy_inet6_with_unspec_transport_is_the_real_peer", BINARY(SIG "\x21\x20\x00\x24" TCP6, "")},
    {"v2_proxy_unix_with_unspec_transport_is_the_real_peer", BINARY(SIG "\x21\x30\x00\xd8" UNIX, "")},
    {"v2_proxy_udp4_is_the_real_peer", BINARY(SIG "\x21\x12\x00\x0c" TCP4, "")},
    {"v2_proxy_udp6_is_the_real_peer", BINARY(SIG "\x21\x22\x00\x24" TCP6, "")},
    {"v2_proxy_unix_stream_is_the_real_peer", BINARY(SIG "\x21\x31\x00\xd8" UNIX, "")},
    {"v2_proxy_unix_dgram_is_the_real_peer", BINARY(SIG "\x21\x32\x00\xdf" UNIX ID, ""), .tlvs = 7,
     .says = "05:4 unique-id=id-1"},

    /* version 2, TLVs right */
    {"v2_tlvs_after_tcp4_are_accepted", BINARY(SIG "\x21\x11\x00\x13" TCP4 ID, ""), TCP4_CLIENT, .tlvs = 7,
     .says = "05:4 unique-id=id-1"},
    {"v2_tlvs_after_tcp6_are_accepted", BINARY(SIG "\x21\x21\x00\x2b" TCP6 ID, ""), TCP6_CLIENT, .tlvs = 7,
     .says = "05:4 unique-id=id-1"},
    {"v2_empty_tlv_is_accepted", BINARY(SIG "\x21\x11\x00\x0f" TCP4 "\x04\x00\x00", ""), TCP4_CLIENT, .tlvs = 3,
     .says = "04:0"},
    {"v2_alpn_authority_and_netns_are_accepted",
     BINARY(SIG "\x21\x11\x00\x28" TCP4 "\x01\x00\x02h2"
                "\x02\x00\x0b"
                "example.com"
                "\x30\x00\x06"
                "blue-1",
            ""),
     TCP4_CLIENT, .tlvs = 28, .says = "01:2 02:11 30:6 sni=example.com alpn=h2 netns=blue-1"},
    {"v2_unknown_tlvs_are_skipped",
     BINARY(SIG "\x21\x11\x00\x18" TCP4 "\x00\x00\x01x"
                "\x7f\x00\x00"
                "\xff\x00\x02xx",
            ""),
     TCP4_CLIENT, .tlvs = 12, .says = "00:1 7f:0 ff:2"},
    {"v2_cloud_tlvs_are_skipped",
     BINARY(SIG "\x21\x11\x00\x2c" TCP4 "\xea\x00\x0a\x01vpce-0001"
                "\xee\x00\x05\x01\xc1\x45\x00\x21"
                "\xe0\x00\x08\x00\x00\x00\x00\x00\x00\x12\x34",
            ""),
     TCP4_CLIENT, .tlvs = 32, .says = "ea:10 ee:5 e0:8 vpce=vpce-0001 azure-link=553665985 psc=4660"},
    {"v2_ssl_tlv_with_every_field_is_accepted",
     BINARY(SIG "\x21\x11\x00\x7f" TCP4 "\x20\x00\x70\x07\x00\x00\x00\x00"
                "\x21\x00\x07TLSv1.3"
                "\x22\x00\x0bm\xc3\xbcnchen.de"
                "\x23\x00\x16TLS_AES_256_GCM_SHA384"
                "\x24\x00\x06SHA256"
                "\x25\x00\x07RSA2048"
                "\x26\x00\x06X25519"
                "\x27\x00\x13rsa_pss_rsae_sha256"
                "\x28\x00\x05\x30\x03\x02\x01\x00",
            ""),
     TCP4_CLIENT, .tlvs = 115,
     .says = "20:112(21:7 22:11 23:22 24:6 25:7 26:6 27:19 28:5) cn=m\303\274nchen.de ssl=TLSv1.3 "
             "cipher=TLS_AES_256_GCM_SHA384"},
    {"v2_short_ssl_tlv_does_not_spoil_the_header", BINARY(SIG "\x21\x11\x00\x13" TCP4 "\x20\x00\x04\x01\0\0\0", ""),
     TCP4_CLIENT, .tlvs = 7, .says = "20:4"},
    {"v2_ssl_field_past_its_tlv_does_not_spoil_the_header",
     BINARY(SIG "\x21\x11\x00\x18" TCP4 "\x20\x00\x09\x01\0\0\0\0\x21\x00\x05x", ""), TCP4_CLIENT, .tlvs = 12,
     .says = "20:9"},
    {"v2_crc_alone_is_accepted", BINARY(SIG "\x21\x11\x00\x13" TCP4 "\x03\x00\x04\xdb\xc5\x82\xad", ""), TCP4_CLIENT,
     .tlvs = 7, .says = "03:4"},
    {"v2_crc_last_is_accepted", BINARY(SIG "\x21\x11\x00\x1a" TCP4 ID "\x03\x00\x04\x78\xb5\x4e\x6e", ""), TCP4_CLIENT,
     .tlvs = 14, .says = "05:4 03:4 unique-id=id-1"},
    {"v2_crc_first_is_accepted", BINARY(SIG "\x21\x11\x00\x1a" TCP4 "\x03\x00\x04\x29\x14\xb4\x02" ID, ""), TCP4_CLIENT,
     .tlvs = 14, .says = "03:4 05:4 unique-id=id-1"},
    {"v2_crc_between_others_is_accepted",
     BINARY(SIG "\x21\x11\x00\x1d" TCP4 "\x04\x00\x00\x03\x00\x04\x96\x39\x7b\x1d" ID, ""), TCP4_CLIENT, .tlvs = 17,
     .says = "04:0 03:4 05:4 unique-id=id-1"},
    {"v2_crc_does_not_cover_the_data", BINARY(SIG "\x21\x11\x00\x13" TCP4 "\x03\x00\x04\xdb\xc5\x82\xad", "data"),
     TCP4_CLIENT, .tlvs = 7, .says = "03:4"},
    {"v2_crc_of_an_unspec_header_is_accepted", BINARY(SIG "\x21\x00\x00\x07\x03\x00\x04\x3e\xc9\x89\x4e", ""),
     .tlvs = 7, .says = "03:4"},

    /* As senders write it: what was captured is so, what was not is written as the source named does it. */

    /* AWS, a Network Load Balancer. A client: from the tests of a module that wraps Node.js's servers. A VPC endpoint:
       Compatibility_AwsNetworkLoadBalancerTest of elastic-load-balancing-tools, and the capture that go-proxyproto's
       tlvparse/aws_test.go has. A health probe: tcpdump in Kubernetes' issue 57250; it has a family and no block. */
    {"aws_client_is_named",
     BINARY(SIG "\x21\x11\x00\x54\x23\x99\xe1\xca\x0a\x00\x24\x85\xcb\x32\x01\xbb\x03\x00\x04\xc4\xfb\x1a\x1b"
                "\x04\x00\x3e" ZEROS_36 ZEROS_8 ZEROS_8 ZEROS_8 "\0\0",
            ""),
     CLIENT("35.153.225.202:52018", "10.0.36.133:443"), .tlvs = 72, .says = "03:4 04:62"},
    {"aws_vpc_endpoint_of_a_client_is_told",
     BINARY(SIG "\x21\x11\x00\x54\xac\x1f\x07\x71\xac\x1f\x0a\x1f\xc8\xf2\x00\x50\x03\x00\x04\xe8\xd6\x89\x2d"
                "\xea\x00\x17\x01vpce-08d2bf15fac5001c9\x04\x00\x24" ZEROS_36,
            ""),
     CLIENT("172.31.7.113:51442", "172.31.10.31:80"), .tlvs = 72,
     .says = "03:4 ea:23 04:36 vpce=vpce-08d2bf15fac5001c9"},
    {"aws_vpc_endpoint_as_captured_is_told",
     BINARY(SIG "\x21\x11\x00\x54\xc0\xa8\x2c\x0a\xc0\xa8\x2c\x07\xcc\x3e\x24\x1b\x03\x00\x04\xb9\x28\x6f\xa6"
                "\xea\x00\x17\x01vpce-00eafc458ec97b833\x04\x00\x24" ZEROS_36,
            ""),
     CLIENT("192.168.44.10:52286", "192.168.44.7:9243"), .tlvs = 72,
     .says = "03:4 ea:23 04:36 vpce=vpce-00eafc458ec97b833"},
    {"aws_health_probe_is_the_balancers_own",
     BINARY(SIG "\x20\x11\x00\x54\x03\x00\x04\xbc\xe5\x95\x1f\x04\x00\x4a" ZEROS_36 ZEROS_36 "\0\0", ""), .local = true,
     .tlvs = 84, .says = "03:4 04:74"},

    /* Google: the packet of the codelab "Private Service Connect: expose services", which prints its pscConnectionId.
       Probes: "About health checks", PROXY_V1. */
    {"google_connection_id_of_a_client_is_told",
     BINARY(
         SIG
         "\x21\x11\x00\x17\x0a\x00\x3c\x02\x0a\x00\x3c\x64\x81\x38\x00\x50\xe0\x00\x08\x00\x9b\x34\xd7\x0a\x00\x3c\x64",
         ""),
     CLIENT("10.0.60.2:33080", "10.0.60.100:80"), .tlvs = 11, .says = "e0:8 psc=43686719580552292"},
    {"google_health_probe_is_the_balancers_own", LINE("PROXY UNKNOWN\r\n", "")},

    /* Azure: "What is Azure Private Link service?", TCP proxy v2, with the value of go-proxyproto's azure_test.go. */
    {"azure_link_of_a_client_is_told",
     BINARY(SIG "\x21\x11\x00\x14\x0a\x00\x03\x04\x0a\x02\x00\x05\xc6\x7c\x0c\xea\xee\x00\x05\x01\xc1\x45\x00\x21", ""),
     CLIENT("10.0.3.4:50812", "10.2.0.5:3306"), .tlvs = 8, .says = "ee:5 azure-link=553665985"},

    /* OVH: its four modes are HAProxy's, v1, v2, v2-ssl and v2-ssl-cn ("Configuring an OVHcloud Load Balancer with
       ProxyProtocol"); a probe brings a header of HAProxy's own. The last two modes: captures of HAProxy that
       go-proxyproto's ssl_test.go has. */
    {"ovh_client_in_mode_v1_is_named", LINE("PROXY TCP4 203.0.113.7 10.108.0.15 4711 3306\r\n", ""),
     CLIENT("203.0.113.7:4711", "10.108.0.15:3306")},
    {"ovh_client_in_mode_v2_ssl_is_named",
     BINARY(SIG "\x21\x21\x00\x4f" ZEROS_8 "\0\0\xff\xff\x0a\x01\x5b\x0e" ZEROS_8 "\0\0\xff\xff\x0a\x01\x01\x9f"
                "\xf4\x7c\x01\xbb\x20\x00\x28\x01\0\0\0\0\x21\x00\x07TLSv1.3\x23\x00\x16TLS_AES_256_GCM_SHA384",
            ""),
     CLIENT("10.1.91.14:62588", "10.1.1.159:443"), .tlvs = 43,
     .says = "20:40(21:7 23:22) ssl=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384"},
    {"ovh_client_in_mode_v2_ssl_cn_is_named",
     BINARY(SIG "\x21\x11\x00\x40\x7f\x00\x00\x01\x7f\x00\x00\x01\xcc\x8a\x23\x2e\x20\x00\x31\x07\0\0\0\0"
                "\x21\x00\x07TLSv1.3\x22\x00\x1f"
                "Example Common Name Client Cert",
            ""),
     CLIENT("127.0.0.1:52362", "127.0.0.1:9006"), .tlvs = 52,
     .says = "20:49(21:7 22:31) cn=Example Common Name Client Cert ssl=TLSv1.3"},
    {"ovh_probe_in_mode_v2_is_the_balancers_own", BINARY(SIG "\x20\x00\x00\x00", ""), .local = true},

    /* Istio: its gateways' Envoy, as proxy_protocol_header_test.cc of Envoy has them; ztunnel, by its
       write_proxy_protocol. */
    {"istio_gateways_client_is_named_in_version_1", LINE("PROXY TCP4 174.2.2.222 172.0.0.1 50000 80\r\n", ""),
     CLIENT("174.2.2.222:50000", "172.0.0.1:80")},
    {"istio_gateways_ipv6_client_is_named_in_version_1", LINE("PROXY TCP6 1::2:3 a:b:c:d:: 50000 80\r\n", ""),
     CLIENT("[1::2:3]:50000", "[a:b:c:d::]:80")},
    {"istio_gateways_client_is_named_with_what_was_passed_on",
     BINARY(SIG "\x21\x11\x00\x15\x01\x02\x03\x04\x00\x01\x01\x02\x03\x05\x02\x01\x08\x00\x01\x08\xd3\x00\x02\x06\x07",
            ""),
     CLIENT("1.2.3.4:773", "0.1.1.2:513"), .tlvs = 9, .says = "08:1 d3:2"},
    {"istio_gateways_ipv6_client_is_named",
     BINARY(SIG "\x21\x21\x00\x29\x00\x01\x00\x02\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x01\x01\x00\x02"
                "\x00\x00\x03" ZEROS_8 "\x00\x08\x00\x02\x05\x00\x02\x06\x07",
            ""),
     CLIENT("[1:2:3::4]:8", "[1:100:200:3::]:2"), .tlvs = 5, .says = "05:2 unique-id=\x06\x07"},
    {"istio_ztunnels_workload_is_told",
     BINARY(SIG "\x21\x11\x00\x33\x0a\xf4\x01\x07\x0a\x60\x00\x14\xae\x48\x15\x38\xd0\x00\x24spiffe://cluster.local/ns/"
                "foo/sa/bar",
            ""),
     CLIENT("10.244.1.7:44616", "10.96.0.20:5432"), .tlvs = 39,
     .says = "d0:36 spiffe=spiffe://cluster.local/ns/foo/sa/bar"},

    /* Linkerd: its proxy's pull request 4625. Where the two ends are of two families both are written as IPv6. */
    {"linkerds_workload_is_told",
     BINARY(SIG "\x21\x21\x00\x55" ZEROS_8 "\0\0\xff\xff\x0a\x2a\x00\x07" NET6 "\0\x09\xae\x48\x15\x38"
                "\xe0\x00\x2e"
                "app.prod.serviceaccount.identity.linkerd.local",
            ""),
     CLIENT("10.42.0.7:44616", "[2001:db8::9]:5432"), .tlvs = 49,
     .says = "e0:46 spiffe=app.prod.serviceaccount.identity.linkerd.local"},

    /* nginx 1.31.4: as it sends them; those of TLS by its ngx_proxy_protocol_v2_write. A client without a certificate
       has one that was not verified (1), so verify alone does not tell. */
    {"nginx_client_is_named",
     BINARY(SIG "\x21\x11\x00\x13\xc0\x00\x02\x01\xc6\x33\x64\x02\x30\x39\x01\xbb\x03\x00\x04\xc8\xcc\xd4\xb7", ""),
     CLIENT("192.0.2.1:12345", "198.51.100.2:443"), .tlvs = 7, .says = "03:4"},
    {"nginx_client_on_a_unix_socket_is_nginx", BINARY(SIG "\x20\x00\x00\x07\x03\x00\x04\xa9\xb8\x7e\x8f", ""),
     .local = true, .tlvs = 7, .says = "03:4"},
    {"nginx_client_of_tls_without_a_certificate_is_named",
     BINARY(SIG "\x21\x11\x00\x6c" TCP4 "\x02\x00\x0a"
                "db.example"
                "\x01\x00\x02h2\x20\x00\x44\x01\0\0\0\x01\x21\x00\x07TLSv1.3\x23\x00\x16TLS_AES_256_GCM_SHA384"
                "\x24\x00\x11"
                "ecdsa-with-SHA256"
                "\x25\x00\x05"
                "EC256"
                "\x03\x00\x04\x50\x19\xde\xe5",
            ""),
     TCP4_CLIENT, .tlvs = 96,
     .says = "02:10 01:2 20:68(21:7 23:22 24:17 25:5) 03:4 "
             "sni=db.example ssl=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384 alpn=h2"},
    {"nginx_client_of_tls_with_a_certificate_is_named",
     BINARY(SIG "\x21\x11\x00\x60" TCP4 "\x20\x00\x4a\x07\0\0\0\0\x21\x00\x07TLSv1.3\x22\x00\x03"
                "app"
                "\x23\x00\x16TLS_AES_256_GCM_SHA384"
                "\x24\x00\x11"
                "ecdsa-with-SHA256"
                "\x25\x00\x05"
                "EC256"
                "\x03\x00\x04\x8f\xaf\x9b\xd9",
            ""),
     TCP4_CLIENT, .tlvs = 84,
     .says = "20:74(21:7 22:3 23:22 24:17 25:5) 03:4 cn=app ssl=TLSv1.3 cipher=TLS_AES_256_GCM_SHA384"},

    /* what comes in one segment, and what is long or there twice */
    {"v1_client_hello_in_the_headers_segment_is_data",
     LINE("PROXY TCP4 203.0.113.7 198.51.100.9 4711 3306\r\n", CLIENT_HELLO), TCP4_CLIENT},
    {"v2_client_hello_in_the_headers_segment_is_data", BINARY(SIG "\x21\x11\x00\x0c" TCP4, CLIENT_HELLO), TCP4_CLIENT},
    {"v2_first_of_two_tlvs_of_a_type_counts",
     BINARY(SIG "\x21\x11\x00\x2a" TCP4 ID
                "\x05\x00\x04id-2\xee\x00\x05\x01\xc1\x45\x00\x21\xee\x00\x05\x01\xc1\x45\x00\x22",
            ""),
     TCP4_CLIENT, .tlvs = 30, .says = "05:4 05:4 ee:5 ee:5 azure-link=553665985 unique-id=id-1"},
    {"v2_client_certificate_of_1536_bytes_is_accepted",
     BINARY(SIG "\x21\x11\x06\x2e" TCP4 "\x20\x06\x18\x07\0\0\0\0\x21\x00\x07TLSv1.3\x22\x00\x03"
                "app"
                "\x28\x06\x00\x30\x82\x05\xfc" TEXT_1532 "\x03\x00\x04\x5e\x24\x05\xe9",
            ""),
     TCP4_CLIENT, .tlvs = 1570, .says = "20:1560(21:7 22:3 28:1536) 03:4 cn=app ssl=TLSv1.3"},

    /* version 2, the fixed part */
    {"v2_version_nibble_1_is_rejected", WRONG(SIG "\x11\x11\x00\x0c", TCP4, V2_BAD_VERSION)},
    {"v2_version_nibble_3_is_rejected", WRONG(SIG "\x31\x11\x00\x0c", TCP4, V2_BAD_VERSION)},
    {"v2_version_is_checked_before_local", WRONG(SIG "\x00\x00\x00\x00", "", V2_BAD_VERSION)},
    {"v2_command_2_is_rejected", WRONG(SIG "\x22\x11\x00\x0c", TCP4, V2_BAD_COMMAND)},
    {"v2_command_15_is_rejected", WRONG(SIG "\x2f\x00\x00\x00", "", V2_BAD_COMMAND)},
    {"v2_undefined_family_is_rejected", WRONG(SIG "\x21\x41\x00\x0c", TCP4, V2_BAD_FAMILY)},
    {"v2_highest_family_is_rejected", WRONG(SIG "\x21\xf0\x00\x00", "", V2_BAD_FAMILY)},
    {"v2_undefined_transport_is_rejected", WRONG(SIG "\x21\x13\x00\x0c", TCP4, V2_BAD_FAMILY)},
    {"v2_undefined_transport_of_unspec_is_rejected", WRONG(SIG "\x21\x0f\x00\x00", "", V2_BAD_FAMILY)},
    {"v2_block_shorter_than_its_family_is_rejected", WRONG(SIG "\x21\x11\x00\x0b", TCP4, V2_SHORT_BLOCK)},
    {"v2_missing_block_is_rejected", WRONG(SIG "\x21\x11\x00\x00", TCP4, V2_SHORT_BLOCK)},
    {"v2_ipv6_block_of_ipv4_length_is_rejected", WRONG(SIG "\x21\x21\x00\x0c", TCP4, V2_SHORT_BLOCK)},
    {"v2_ipv6_block_one_byte_short_is_rejected", WRONG(SIG "\x21\x21\x00\x23", TCP6, V2_SHORT_BLOCK)},
    {"v2_unix_block_one_byte_short_is_rejected", WRONG(SIG "\x21\x31\x00\xd7", UNIX, V2_SHORT_BLOCK)},
    {"v2_udp4_block_one_byte_short_is_rejected", WRONG(SIG "\x21\x12\x00\x0b", TCP4, V2_SHORT_BLOCK)},
    {"v2_inet_block_without_transport_is_checked_too", WRONG(SIG "\x21\x10\x00\x0b", TCP4, V2_SHORT_BLOCK)},

    /* version 2, TLVs wrong */
    {"v2_tlv_one_byte_past_the_end_is_rejected",
     WRONG(SIG "\x21\x11\x00\x13" TCP4 "\x05\x00\x05id-1", "!", V2_TLV_OVERRUN)},
    {"v2_tlv_far_past_the_end_is_rejected", WRONG(SIG "\x21\x11\x00\x13" TCP4 "\x05\xff\xffid-1", "", V2_TLV_OVERRUN)},
    {"v2_one_stray_byte_is_rejected", WRONG(SIG "\x21\x11\x00\x0d" TCP4 "x", "", V2_TLV_OVERRUN)},
    {"v2_one_stray_byte_after_a_tlv_is_rejected", WRONG(SIG "\x21\x11\x00\x14" TCP4 ID "x", "", V2_TLV_OVERRUN)},
    {"v2_two_stray_bytes_after_a_tlv_are_rejected", WRONG(SIG "\x21\x11\x00\x15" TCP4 ID "\0\0", "", V2_TLV_OVERRUN)},
    {"v2_stray_bytes_of_a_udp_header_are_rejected", WRONG(SIG "\x21\x12\x00\x0d" TCP4 "x", "", V2_TLV_OVERRUN)},
    {"v2_wrong_crc_is_rejected", WRONG(SIG "\x21\x11\x00\x13" TCP4 "\x03\x00\x04\xdb\xc5\x82\xac", "", V2_BAD_CRC)},
    {"v2_crc_that_was_not_filled_in_is_rejected",
     WRONG(SIG "\x21\x11\x00\x13" TCP4 "\x03\x00\x04\0\0\0\0", "", V2_BAD_CRC)},
    {"v2_little_endian_crc_is_rejected",
     WRONG(SIG "\x21\x11\x00\x13" TCP4 "\x03\x00\x04\xad\x82\xc5\xdb", "", V2_BAD_CRC)},
    {"v2_crc_of_three_bytes_is_rejected", WRONG(SIG "\x21\x11\x00\x12" TCP4 "\x03\x00\x03\0\0\0", "", V2_BAD_CRC)},
    {"v2_crc_of_five_bytes_is_rejected_even_if_four_are_right",
     WRONG(SIG "\x21\x11\x00\x14" TCP4 "\x03\x00\x05\x83\xc2\x75\x3c\0", "", V2_BAD_CRC)},
    {"v2_empty_crc_is_rejected", WRONG(SIG "\x21\x11\x00\x0f" TCP4 "\x03\x00\x00", "", V2_BAD_CRC)},
    {"v2_two_crcs_computed_together_are_rejected",
     WRONG(SIG "\x21\x11\x00\x1a" TCP4 "\x03\x00\x04\xce\xb0\x66\x05\x03\x00\x04\xce\xb0\x66\x05", "", V2_BAD_CRC)},
    {"v2_right_crc_before_another_is_rejected",
     WRONG(SIG "\x21\x11\x00\x1a" TCP4 "\x03\x00\x04\x77\x0b\x5a\x4c\x03\x00\x04\xde\xad\xbe\xef", "", V2_BAD_CRC)},
    {"v2_right_crc_after_another_is_rejected",
     WRONG(SIG "\x21\x11\x00\x1a" TCP4 "\x03\x00\x04\xde\xad\xbe\xef\x03\x00\x04\x35\xbe\xa6\x55", "", V2_BAD_CRC)},
    {"v2_two_crcs_of_an_unspec_header_are_rejected",
     WRONG(SIG "\x21\x00\x00\x0e\x03\x00\x04\0\0\0\0\x03\x00\x04\0\0\0\0", "", V2_BAD_CRC)},
    {"v2_wrong_crc_of_an_unspec_header_is_rejected",
     WRONG(SIG "\x21\x00\x00\x07\x03\x00\x04\x3e\xc9\x89\x4f", "", V2_BAD_CRC)},
};

const size_t vector_count = sizeof vectors / sizeof *vectors;
