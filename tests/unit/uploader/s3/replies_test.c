#include "unit.h"

#include "uploader/http/xml.h"
#include "uploader/s3/replies.h"

static void test_error(void **state) {
    (void)state;
    struct s3_error_reply e;
    assert_int_equal(s3_error_reply_parse(slice_of("\n  <?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\n"
                                                   "<Error><Code>SlowDown</Code><Message>a &amp; b</Message>"
                                                   "<Deep><Code>Other</Code></Deep><Region>eu-west-1</Region></Error>"),
                                          &e),
                     0);
    assert_string_equal(e.code, "SlowDown");
    assert_string_equal(e.message, "a & b");
    assert_string_equal(e.region, "eu-west-1");
    assert_int_equal(s3_error_reply_parse(slice_of("<html><body>x</body></html>"), &e), ERR_NOT_FOUND);
    assert_int_equal(s3_error_reply_parse(slice_of("<Error><Code>x</Code>"), &e), ERR_INVALID);
    assert_int_equal(s3_error_reply_parse(slice_of(""), &e), ERR_INVALID);
    assert_int_equal(s3_error_reply_parse(slice_of("   \n"), &e), ERR_INVALID);
}

static void test_namespaces_and_prefixes_do_not_matter(void **state) {
    (void)state;
    struct s3_error_reply e;
    assert_int_equal(s3_error_reply_parse(slice_of("<s:Error xmlns:s=\"urn:x\"><s:Code>A</s:Code></s:Error>"), &e), 0);
    assert_string_equal(e.code, "A");
}

static void test_doctype_and_entities_are_refused(void **state) {
    (void)state;
    struct s3_error_reply e;
    assert_int_equal(s3_error_reply_parse(slice_of("<!DOCTYPE Error><Error><Code>x</Code></Error>"), &e), ERR_INVALID);
    assert_int_equal(s3_error_reply_parse(slice_of("<!DOCTYPE Error [<!ENTITY a \"aa\"><!ENTITY b \"&a;&a;\">]>"
                                                   "<Error><Code>&b;</Code></Error>"),
                                          &e),
                     ERR_INVALID);
}

static void test_limits(void **state) {
    (void)state;
    struct s3_error_reply e;
    struct buf b = BUF_INIT;
    assert_int_equal(buf_add_text(&b, "<Error>"), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(buf_add_text(&b, "<a>"), 0);
    assert_int_equal(s3_error_reply_parse(buf_slice(&b), &e), ERR_LIMIT);
    buf_clear(&b);
    assert_int_equal(buf_add_text(&b, "<Error><Code>"), 0);
    for (int i = 0; i < 10000; i++)
        assert_int_equal(buf_add_byte(&b, 'x'), 0);
    assert_int_equal(buf_add_text(&b, "</Code></Error>"), 0);
    assert_int_equal(s3_error_reply_parse(buf_slice(&b), &e), ERR_LIMIT);
    buf_release(&b);
}

static void test_long_message_is_cut_between_characters(void **state) {
    (void)state;
    struct s3_error_reply e;
    struct buf b = BUF_INIT;
    assert_int_equal(buf_add_text(&b, "<Error><Message>"), 0);
    for (int i = 0; i < 300; i++)
        assert_int_equal(buf_add_text(&b, "é"), 0);
    assert_int_equal(buf_add_text(&b, "</Message></Error>"), 0);
    assert_int_equal(s3_error_reply_parse(buf_slice(&b), &e), 0);
    assert_int_equal(strlen(e.message), 382);
    buf_release(&b);
}

static void test_created(void **state) {
    (void)state;
    struct s3_created c;
    assert_int_equal(s3_created_parse(slice_of("<InitiateMultipartUploadResult xmlns=\"http://x/\"><Bucket>b</Bucket>"
                                               "<Key>k</Key><UploadId>2~ab</UploadId></InitiateMultipartUploadResult>"),
                                      &c),
                     0);
    assert_string_equal(c.upload_id, "2~ab");
    assert_int_equal(s3_created_parse(slice_of("<InitiateMultipartUploadResult/>"), &c), ERR_INVALID);
}

static void test_completed(void **state) {
    (void)state;
    struct s3_completed c;
    const char *body = "<CompleteMultipartUploadResult><Location>l</Location><ETag>&quot;ab-2&quot;</ETag>"
                       "<ChecksumCRC32C>AAAAAA==</ChecksumCRC32C></CompleteMultipartUploadResult>";
    assert_int_equal(s3_completed_parse(slice_of(body), &c), 0);
    assert_string_equal(c.etag, "ab-2");
    assert_string_equal(c.crc32c, "AAAAAA==");
    assert_int_equal(s3_completed_parse(slice_of("<CompleteMultipartUploadResult><ETag></ETag>"
                                                 "</CompleteMultipartUploadResult>"),
                                        &c),
                     0);
    assert_string_equal(c.etag, "");
    assert_int_equal(s3_completed_parse(slice_of("<Error><Code>InternalError</Code></Error>"), &c), ERR_NOT_FOUND);
}

static void test_parts(void **state) {
    (void)state;
    struct s3_part_list p;
    const char *body = "<ListPartsResult><ChecksumAlgorithm>CRC32C</ChecksumAlgorithm>"
                       "<ChecksumType>FULL_OBJECT</ChecksumType><IsTruncated>true</IsTruncated>"
                       "<NextPartNumberMarker>9</NextPartNumberMarker>"
                       "<Part><PartNumber>1</PartNumber><ETag>\"a\"</ETag><Size>5242880</Size></Part>"
                       "<Part><PartNumber>3</PartNumber><ETag>b</ETag><Size>7</Size>"
                       "<ChecksumCRC32C>AAAAAA==</ChecksumCRC32C></Part></ListPartsResult>";
    assert_int_equal(s3_part_list_parse(slice_of(body), &p), 0);
    assert_int_equal(p.count, 2);
    assert_int_equal(p.parts[0].number, 1);
    assert_int_equal(p.parts[0].size, 5242880);
    assert_string_equal(p.parts[0].etag, "a");
    assert_string_equal(p.parts[0].crc32c, "");
    assert_int_equal(p.parts[1].number, 3);
    assert_string_equal(p.parts[1].etag, "b");
    assert_string_equal(p.parts[1].crc32c, "AAAAAA==");
    assert_true(p.truncated);
    assert_int_equal(p.next, 3); /* the last part read, not the marker in the reply */
    assert_string_equal(p.algorithm, "CRC32C");
    s3_part_list_release(&p);
}

static void test_parts_that_cannot_be(void **state) {
    (void)state;
    struct s3_part_list p;
    assert_int_equal(s3_part_list_parse(slice_of("<ListPartsResult><Part><ETag>a</ETag></Part></ListPartsResult>"), &p),
                     ERR_INVALID);
    assert_int_equal(s3_part_list_parse(slice_of("<ListPartsResult><Part><PartNumber>2</PartNumber></Part>"
                                                 "<Part><PartNumber>2</PartNumber></Part></ListPartsResult>"),
                                        &p),
                     ERR_INVALID);
    assert_int_equal(
        s3_part_list_parse(slice_of("<ListPartsResult><Part><PartNumber>1</PartNumber><Size>-1</Size></Part>"
                                    "</ListPartsResult>"),
                           &p),
        ERR_INVALID);
    assert_int_equal(s3_part_list_parse(slice_of("<ListPartsResult><Part><PartNumber>1</PartNumber>"
                                                 "<Size>99999999999999999999</Size></Part></ListPartsResult>"),
                                        &p),
                     ERR_INVALID);
}

static void test_uploads(void **state) {
    (void)state;
    struct s3_upload_list u;
    const char *body = "<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
                       "<NextKeyMarker>a%2Fb</NextKeyMarker><NextUploadIdMarker>z</NextUploadIdMarker>"
                       "<Upload><Key>a%20b</Key><UploadId>i1</UploadId>"
                       "<Initiator><ID>me</ID></Initiator><Initiated>2026-11-21T08:40:00.000Z</Initiated></Upload>"
                       "<Upload><Key>k</Key><UploadId>i2</UploadId><ChecksumAlgorithm>CRC32C</ChecksumAlgorithm>"
                       "<ChecksumType>FULL_OBJECT</ChecksumType><Initiated>garbage</Initiated></Upload>"
                       "</ListMultipartUploadsResult>";
    assert_int_equal(s3_upload_list_parse(slice_of(body), &u), 0);
    assert_int_equal(u.count, 2);
    assert_true(s3_upload_has_key(&u.uploads[0], slice_of("a b")));
    assert_true(s3_upload_has_key(&u.uploads[0], slice_of("a%20b"))); /* of a store that does not encode */
    assert_false(s3_upload_has_key(&u.uploads[0], slice_of("a b2")));
    assert_int_equal(u.uploads[0].initiated_us, INT64_C(1795250400000000));
    assert_string_equal(u.uploads[1].upload_id, "i2");
    assert_string_equal(u.uploads[1].type, "FULL_OBJECT");
    assert_int_equal(u.uploads[1].initiated_us, 0);
    assert_true(u.truncated);
    assert_string_equal(u.next_key.data, "a/b");
    assert_string_equal(u.next_upload_id, "z");
    s3_upload_list_release(&u);
}

/* Swift announces encoding and does not encode the marker. */
static void test_marker_that_is_not_encoded(void **state) {
    (void)state;
    struct s3_upload_list u;
    const char *body = "<ListMultipartUploadsResult><EncodingType>url</EncodingType>"
                       "<NextKeyMarker>50%/x</NextKeyMarker></ListMultipartUploadsResult>";
    assert_int_equal(s3_upload_list_parse(slice_of(body), &u), 0);
    assert_string_equal(u.next_key.data, "50%/x");
    s3_upload_list_release(&u);
}

static void test_etag(void **state) {
    (void)state;
    char out[8];
    assert_int_equal(s3_etag_copy(slice_of("\"abc\""), out, sizeof out), 0);
    assert_string_equal(out, "abc");
    assert_int_equal(s3_etag_copy(slice_of("W/\"abc\""), out, sizeof out), 0);
    assert_string_equal(out, "abc");
    assert_int_equal(s3_etag_copy(slice_of("abc"), out, sizeof out), 0);
    assert_string_equal(out, "abc");
    assert_int_equal(s3_etag_copy(slice_of("\""), out, sizeof out), 0);
    assert_string_equal(out, "\"");
    assert_int_equal(s3_etag_copy(slice_of("12345678"), out, sizeof out), ERR_LIMIT);
    assert_int_equal(s3_etag_copy(slice_of(""), out, sizeof out), 0);
    assert_string_equal(out, "");
}

static void test_escape(void **state) {
    (void)state;
    struct buf b = BUF_INIT;
    assert_int_equal(xml_escape_add(&b, slice_of("a<b>&\"c")), 0);
    assert_string_equal(b.data, "a&lt;b&gt;&amp;\"c");
    assert_int_equal(xml_escape_add(&b, slice_of("\x01")), ERR_INVALID);
    buf_release(&b);
}

static int parse_parts(const char *inner, struct s3_part_list *p) {
    char body[1000];
    snprintf(body, sizeof body, "<ListPartsResult>%s</ListPartsResult>", inner);
    return s3_part_list_parse(slice_of(body), p);
}

static void test_fields_of_a_list_of_parts(void **state) {
    (void)state;
    struct s3_part_list p;
    assert_int_equal(parse_parts("<ChecksumType>COMPOSITE</ChecksumType><ChecksumAlgorithm>SHA1</ChecksumAlgorithm>"
                                 "<NextPartNumberMarker>9</NextPartNumberMarker><IsTruncated>false</IsTruncated>"
                                 "<Other>1</Other><Part><PartNumber>4294967295</PartNumber><Other>5</Other></Part>",
                                 &p),
                     0);
    assert_string_equal(p.type, "COMPOSITE");
    assert_string_equal(p.algorithm, "SHA1");
    assert_false(p.truncated);
    assert_int_equal(p.next, 9);
    assert_int_equal(p.parts[0].number, 4294967295);
    s3_part_list_release(&p);
    assert_int_equal(parse_parts("<IsTruncated>true</IsTruncated><NextPartNumberMarker>9</NextPartNumberMarker>", &p),
                     0);
    assert_int_equal(p.next, 9); /* no part shows another number */
    s3_part_list_release(&p);
    assert_int_equal(parse_parts("<NextPartNumberMarker></NextPartNumberMarker>", &p), 0);
    assert_int_equal(p.next, 0);
    s3_part_list_release(&p);
    assert_int_equal(parse_parts("<NextPartNumberMarker>x</NextPartNumberMarker>", &p), ERR_INVALID);
    assert_int_equal(parse_parts("<ChecksumType>a-type-that-is-too-long</ChecksumType>", &p), ERR_LIMIT);
    assert_int_equal(parse_parts("<Part><PartNumber>4294967296</PartNumber></Part>", &p), ERR_INVALID);
    assert_int_equal(parse_parts("<Part><PartNumber>2</PartNumber></Part><Part><PartNumber>1</PartNumber></Part>", &p),
                     ERR_INVALID);
    assert_null(p.parts);
}

/* A page has at most 1,000 entries, as S3 promises. */
static int parse_entries(unsigned count, bool uploads) {
    struct buf b = BUF_INIT;
    const char *root = uploads ? "ListMultipartUploadsResult" : "ListPartsResult";
    assert_int_equal(buf_addf(&b, "<%s>", root), 0);
    for (unsigned i = 1; i <= count; i++)
        assert_int_equal(uploads ? buf_add_text(&b, "<Upload><Key>k</Key></Upload>")
                                 : buf_addf(&b, "<Part><PartNumber>%u</PartNumber></Part>", i),
                         0);
    assert_int_equal(buf_addf(&b, "</%s>", root), 0);
    struct s3_part_list p = {0};
    struct s3_upload_list u = {0};
    int err = uploads ? s3_upload_list_parse(buf_slice(&b), &u) : s3_part_list_parse(buf_slice(&b), &p);
    if (!err)
        assert_int_equal(uploads ? u.count : p.count, count);
    s3_part_list_release(&p);
    s3_upload_list_release(&u);
    buf_release(&b);
    return err;
}

static void test_pages_have_a_limit(void **state) {
    (void)state;
    assert_int_equal(parse_entries(1000, false), 0);
    assert_int_equal(parse_entries(1001, false), ERR_LIMIT);
    assert_int_equal(parse_entries(1000, true), 0);
    assert_int_equal(parse_entries(1001, true), ERR_LIMIT);
}

static void test_fields_of_a_list_of_uploads(void **state) {
    (void)state;
    struct s3_upload_list u;
    const char *body = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><EncodingType>none</EncodingType>"
                       "<NextKeyMarker>a%2Fb</NextKeyMarker><Other>1</Other>"
                       "<Upload><Key>k</Key><UploadId>i</UploadId><ChecksumAlgorithm>CRC32C</ChecksumAlgorithm>"
                       "<ChecksumType>COMPOSITE</ChecksumType></Upload><Upload><Key>l</Key></Upload>"
                       "</ListMultipartUploadsResult>";
    assert_int_equal(s3_upload_list_parse(slice_of(body), &u), 0);
    assert_false(u.truncated);
    assert_string_equal(u.next_key.data, "a%2Fb"); /* not encoded */
    assert_string_equal(u.uploads[0].algorithm, "CRC32C");
    assert_string_equal(u.uploads[0].type, "COMPOSITE");
    assert_string_equal(u.uploads[1].upload_id, "");
    assert_string_equal(u.uploads[1].algorithm, "");
    s3_upload_list_release(&u);
}

static void test_objects_that_were_not_deleted(void **state) {
    (void)state;
    struct s3_delete_result d;
    const char *body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
                       "<DeleteResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                       "<Deleted><Key>gone</Key></Deleted>"
                       "<Error><Key>a &amp; &lt;b&gt;</Key><VersionId>v</VersionId><Code>AccessDenied</Code>"
                       "<Message>no</Message></Error>"
                       "<Error><Code>SlowDown</Code></Error></DeleteResult>";
    assert_int_equal(s3_delete_result_parse(slice_of(body), &d), 0);
    assert_int_equal(d.count, 2);
    assert_string_equal(d.failures[0].key.data, "a & <b>");
    assert_string_equal(d.failures[0].error.code, "AccessDenied");
    assert_string_equal(d.failures[0].error.message, "no");
    assert_int_equal(d.failures[1].key.len, 0); /* not that of the entry before */
    assert_string_equal(d.failures[1].error.code, "SlowDown");
    assert_string_equal(d.failures[1].error.message, "");
    s3_delete_result_release(&d);
    assert_null(d.failures);
    assert_int_equal(s3_delete_result_parse(slice_of("<DeleteResult/>"), &d), 0);
    assert_int_equal(d.count, 0);
    s3_delete_result_release(&d);
}

static void test_what_is_no_result_of_a_deletion(void **state) {
    (void)state;
    struct s3_delete_result d;
    assert_int_equal(s3_delete_result_parse(slice_of("<html/>"), &d), ERR_NOT_FOUND);
    assert_int_equal(s3_delete_result_parse(slice_of("<DeleteResult><Error><Key>k</Key>"), &d), ERR_INVALID);
    assert_null(d.failures);
    assert_int_equal(s3_delete_result_parse(slice_of(""), &d), ERR_INVALID);
    struct buf b = BUF_INIT;
    assert_int_equal(buf_add_text(&b, "<DeleteResult>"), 0);
    for (int i = 0; i < 1001; i++)
        assert_int_equal(buf_add_text(&b, "<Error><Key>k</Key></Error>"), 0);
    assert_int_equal(buf_add_text(&b, "</DeleteResult>"), 0);
    assert_int_equal(s3_delete_result_parse(buf_slice(&b), &d), ERR_LIMIT);
    assert_null(d.failures);
    buf_release(&b);
}

static void test_quotes_and_marks_of_an_etag(void **state) {
    (void)state;
    char out[8];
    static const char *const pairs[][2] = {{"W/", ""},       {"W/abc", "abc"}, {"\"\"", ""},
                                           {"\"ab", "\"ab"}, {"ab\"", "ab\""}, {"w/ab", "w/ab"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_int_equal(s3_etag_copy(slice_of(pairs[i][0]), out, sizeof out), 0);
        assert_string_equal(out, pairs[i][1]);
    }
}

UNIT_MAIN(cmocka_unit_test(test_error), cmocka_unit_test(test_namespaces_and_prefixes_do_not_matter),
          cmocka_unit_test(test_doctype_and_entities_are_refused), cmocka_unit_test(test_limits),
          cmocka_unit_test(test_long_message_is_cut_between_characters), cmocka_unit_test(test_created),
          cmocka_unit_test(test_completed), cmocka_unit_test(test_parts), cmocka_unit_test(test_parts_that_cannot_be),
          cmocka_unit_test(test_uploads), cmocka_unit_test(test_marker_that_is_not_encoded),
          cmocka_unit_test(test_etag), cmocka_unit_test(test_escape), cmocka_unit_test(test_fields_of_a_list_of_parts),
          cmocka_unit_test(test_pages_have_a_limit), cmocka_unit_test(test_fields_of_a_list_of_uploads),
          cmocka_unit_test(test_objects_that_were_not_deleted), cmocka_unit_test(test_what_is_no_result_of_a_deletion),
          cmocka_unit_test(test_quotes_and_marks_of_an_etag))
