/* Keys as text, trust files and key files: the accepted forms, and that no other form is accepted. */
#include "edge.h"
#include "pure/trust.h"
#include "unit.h"
#include <stdlib.h>

/* Of ZeroMQ RFC 26 and libzmq's manual. */
#define KEY_A "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define KEY_B "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define KEY_C "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"
#define HASH_KEY "Y#e@#w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"

static struct curve_key key(const char *text) {
    struct curve_key k;
    assert_int_equal(curve_key_from_text(&k, slice_of(text)), 0);
    return k;
}

/* ---- Z85 ---- */

static void test_bytes_become_text(void **state) {
    /* "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6" is the standard's example of a key */
    static const uint8_t bytes[CURVE_BYTES] = {0x8E, 0x0B, 0xDD, 0x69, 0x76, 0x28, 0xB9, 0x1D, 0x8F, 0x24, 0x55,
                                               0x87, 0xEE, 0x95, 0xC5, 0xB0, 0x4D, 0x48, 0x96, 0x3F, 0x79, 0x25,
                                               0x98, 0x77, 0xB4, 0x9C, 0xD9, 0x06, 0x3A, 0xEA, 0xD3, 0xB7};
    struct curve_key k[2];
    (void)state;
    memset(k, 'x', sizeof k);
    curve_key_from_bytes(&k[0], bytes);
    assert_string_equal(k[0].text, "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6");
    assert_true(curve_key_is_set(&k[0]));
    for (size_t i = 0; i < sizeof k[1].text; i++)
        assert_int_equal(k[1].text[i], 'x'); /* nothing is written past its end */
}

static void test_texts_that_are_no_keys(void **state) {
    static const char *const wrong[] = {
        "",
        "short",
        "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI",
        KEY_A "x",
        "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI\"",
        "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI ",
        "0000000000000000000000000000000000000000",
        "#####00000000000000000000000000000000000", /* 85^5-1 is beyond 32 bits */
        "%nSc100000000000000000000000000000000000", /* 2^32, by one */
    };
    struct curve_key k;
    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(curve_key_from_text(&k, edge_text(wrong[i])), ERR_INVALID);
        assert_false(curve_key_is_set(&k));
    }
    assert_int_equal(curve_key_from_text(&k, slice_make(KEY_A "\0", 41)), ERR_INVALID);
    assert_int_equal(curve_key_from_text(&k, slice_of("%nSc000000000000000000000000000000000000")), 0); /* 2^32-1 */
    printf("%zu texts that are no keys\n", sizeof wrong / sizeof wrong[0]);
}

/* ---- trust files ---- */

static void parsed(struct trust *t, const char *text) {
    struct text_error e;
    int err = trust_parse(t, edge_text(text), &e);
    if (err)
        fail_msg("line %zu: %s\n%s", e.line, e.problem, text);
}

static void test_lines(void **state) {
    struct trust t;
    struct curve_key a = key(KEY_A), b = key(KEY_B), c = key(KEY_C);
    (void)state;
    parsed(&t, "# everybody\n\n" KEY_A " producer,uploader # host a\n"
               "  " KEY_B "\treader\r\n" KEY_C " consumer tcp://c:7701 #no blank behind it\n"
               "## a line\n#\n   # another\n" KEY_A " reader");
    assert_int_equal(t.line_count, 4);
    assert_int_equal(t.key_count, 3);
    assert_int_equal(trust_roles(&t, &a), TRUST_PRODUCER | TRUST_UPLOADER | TRUST_READER);
    assert_int_equal(trust_roles(&t, &b), TRUST_READER);
    assert_int_equal(trust_roles(&t, &c), TRUST_CONSUMER);
    struct curve_key none = {{0}}, other = a;
    other.text[3] = 'x';
    assert_int_equal(trust_roles(&t, &none), 0);
    assert_int_equal(trust_roles(&t, &other), 0);
    trust_release(&t);
    assert_int_equal(trust_roles(&t, &a), 0);
}

/* "a comment begins with white space and '#'", for Z85 has that character; "or at the start of a line, where no key has
 * it" */
static void test_comments(void **state) {
    struct trust t;
    struct curve_key k = key(HASH_KEY);
    (void)state;
    parsed(&t, HASH_KEY " uploader #" HASH_KEY " reader\n#" HASH_KEY " reader\n\t#x\n#\n");
    assert_int_equal(t.line_count, 1);
    assert_int_equal(trust_roles(&t, &k), TRUST_UPLOADER);
    trust_release(&t);
    struct text_error e;
    assert_int_equal(trust_parse(&t, slice_of(HASH_KEY " uploader#x\n"), &e), ERR_INVALID);
    for (size_t i = 0; i < CURVE_TEXT_LEN; i += 5) { /* a group of five never begins with it */
        char text[] = KEY_A;
        text[i] = '#';
        assert_int_equal(curve_key_from_text(&k, slice_of(text)), ERR_INVALID);
    }
}

static void test_a_file_of_comments_trusts_no_key(void **state) {
    struct trust t;
    (void)state;
    parsed(&t, "# nobody\n");
    assert_int_equal(t.key_count, 0);
    trust_release(&t);
}

static void test_servers(void **state) {
    struct trust t;
    struct trust_server_keys k;
    (void)state;
    parsed(&t, KEY_A " consumer tcp://a:1\n" KEY_B " consumer\n" KEY_C " producer tcp://c:1\n" KEY_C
                     " producer tcp://c:2\n" KEY_A " producer\n" KEY_B " producer\n");
    assert_int_equal(trust_server(&t, TRUST_CONSUMER, "tcp://a:1", &k), 0);
    assert_string_equal(k.keys[0].text, KEY_A);
    assert_int_equal(trust_server(&t, TRUST_CONSUMER, "tcp://a:12", &k), 0); /* the one without an endpoint */
    assert_string_equal(k.keys[0].text, KEY_B);
    assert_int_equal(trust_server(&t, TRUST_PRODUCER, "tcp://c:2", &k), 0);
    assert_string_equal(k.keys[0].text, KEY_C);
    assert_int_equal(trust_server(&t, TRUST_PRODUCER, "tcp://c:7702", &k), 0); /* another port of its host */
    assert_string_equal(k.keys[0].text, KEY_C);
    assert_int_equal(trust_server(&t, TRUST_PRODUCER, "tcp://cc:1", &k), ERR_LIMIT);
    assert_int_equal(trust_server(&t, TRUST_PRODUCER, "tcp://other:1", &k), ERR_LIMIT);
    trust_release(&t);
    parsed(&t,
           KEY_A " producer tcp://[::1]:7700\n" KEY_B " producer tcp://[::1:2]:7700\n" KEY_C " consumer tcp://a:1\n");
    assert_int_equal(trust_server(&t, TRUST_PRODUCER, "tcp://[::1]:7702", &k), 0);
    assert_string_equal(k.keys[0].text, KEY_A);
    assert_int_equal(trust_server(&t, TRUST_CONSUMER, "tcp://a:2", &k), ERR_NOT_FOUND);
    trust_release(&t);
    parsed(&t, KEY_A " consumer tcp://a:1\n" KEY_B " producer,consumer tcp://a:1\n" KEY_C " uploader\n");
    assert_int_equal(trust_server(&t, TRUST_CONSUMER, "tcp://a:1", &k), 0);
    assert_int_equal(k.count, 2); /* its key is being replaced */
    assert_string_equal(k.keys[0].text, KEY_A);
    assert_string_equal(k.keys[1].text, KEY_B);
    assert_int_equal(trust_server(&t, TRUST_PRODUCER, "tcp://b:1", &k), ERR_NOT_FOUND);
    assert_int_equal(trust_server(&t, TRUST_PRODUCER, "tcp://a:1", &k), 0);
    trust_release(&t);
    parsed(&t, KEY_A " consumer tcp://a:1\n" KEY_B " consumer tcp://a:1\n" KEY_A " consumer tcp://a:1\n" KEY_C
                     " consumer tcp://a:1\n");
    assert_int_equal(trust_server(&t, TRUST_CONSUMER, "tcp://a:1", &k), ERR_LIMIT); /* three different keys */
    trust_release(&t);
    parsed(&t, KEY_A " consumer\n" KEY_B " consumer\n");
    assert_int_equal(trust_server(&t, TRUST_CONSUMER, "tcp://a:1", &k), ERR_LIMIT); /* no line names the address */
    trust_release(&t);
}

static const struct {
    const char *text;
    size_t line;
    const char *what; /* is in the text */
} damaged[] = {
    {"", 0, "empty"},
    {KEY_A "\n", 1, "no roles"},
    {KEY_A " # host\n", 1, "no roles"}, /* as the .pub file is, before its roles are added */
    {KEY_A " uploaders\n", 1, "not a role"},
    {KEY_A " Uploader\n", 1, "not a role"},
    {KEY_A " uploader,\n", 1, "not a role"},
    {KEY_A " ,uploader\n", 1, "not a role"},
    {KEY_A " producer, uploader\n", 1, "not a role"},
    {KEY_A " uploader extra\n", 1, "not an endpoint"},
    {KEY_A " producer tcp://a:1 more\n", 1, "too many words"},
    {KEY_A " producer ipc://a\n", 1, "not an endpoint"},
    {KEY_A " producer tcp://\n", 1, "not an endpoint"},
    {KEY_A " uploader tcp://a:1\n", 1, "only the roles producer and consumer"},
    {KEY_A "x uploader\n", 1, "a key"},
    {"uploader " KEY_A "\n", 1, "a key"},
    {KEY_A " uploader\n\n# x\n" KEY_B "\n", 4, "no roles"},
    {KEY_A " uploader\n" KEY_B " reader\n\x01\n", 3, "control"},
    {KEY_A " up\x1bloader\n", 1, "control"},
    {KEY_A " reader # \x7f\n", 1, "control"},
    {KEY_A " reader # \x1f\n", 1, "control"},
    {KEY_A " uploader\n" KEY_B " read", 2, "not a role"}, /* cut */
    {KEY_A " uploader\n" KEY_B, 2, "no roles"},
    {KEY_A " uploader\nYne@$w-vo<fVvi]", 2, "a key"},
    {"public " KEY_A "\nsecret " KEY_B "\n", 1, "a key"},
};

static void test_damaged_files(void **state) {
    struct trust t;
    struct text_error e;
    size_t count = sizeof damaged / sizeof damaged[0];
    (void)state;
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(trust_parse(&t, edge_text(damaged[i].text), &e), ERR_INVALID);
        if (e.line != damaged[i].line || !strstr(e.problem, damaged[i].what))
            fail_msg("%zu: line %zu: %s", i, e.line, e.problem);
        assert_int_equal(t.line_count + t.key_count, 0);
    }
    assert_int_equal(trust_parse(&t, slice_make(KEY_A " uploader\n\0", 51), &e), ERR_INVALID);
    printf("%zu damaged trust files\n", count + 1);
}

/* Each byte of a valid file flipped, and the file cut at each place: it is refused, or it gives no new key and no further
 * role, unless the flip is inside a name. */
static void test_cut_and_flipped(void **state) {
    static const char good[] = KEY_A " producer,uploader tcp://a:7700 # a\n" KEY_B " reader # b\n";
    struct trust t;
    struct text_error e;
    size_t refused = 0, taken = 0;
    (void)state;
    for (size_t len = 0; len < sizeof good; len++) {
        if (trust_parse(&t, edge_slice(slice_make(good, len)), &e)) {
            refused++;
            continue;
        }
        taken++;
        struct curve_key a = key(KEY_A), b = key(KEY_B);
        assert_int_equal(trust_roles(&t, &a) & ~(unsigned)(TRUST_PRODUCER | TRUST_UPLOADER), 0);
        assert_int_equal(trust_roles(&t, &b) & ~(unsigned)TRUST_READER, 0);
        assert_true(t.key_count <= 2);
        trust_release(&t);
    }
    for (size_t i = 0; i < sizeof good - 1; i++)
        for (int bit = 0; bit < 8; bit++) {
            char text[sizeof good];
            memcpy(text, good, sizeof good);
            text[i] = (char)(text[i] ^ (1 << bit));
            if (trust_parse(&t, slice_make(text, sizeof good - 1), &e)) {
                refused++;
                assert_true(e.problem != NULL);
                continue;
            }
            taken++;
            assert_true(t.key_count <= 2);
            trust_release(&t);
        }
    printf("%zu cut or flipped trust files refused, %zu taken\n", refused, taken);
    assert_true(refused > 300);
}

static void test_too_many_lines(void **state) {
    static const char line[] = KEY_A " uploader\n";
    struct buf text = BUF_INIT;
    struct trust t;
    struct text_error e;
    (void)state;
    for (size_t i = 0; i < TRUST_LINES_MAX; i++)
        assert_int_equal(buf_add_text(&text, line), 0);
    assert_int_equal(trust_parse(&t, buf_slice(&text), &e), 0);
    assert_int_equal(t.key_count, 1);
    trust_release(&t);
    assert_int_equal(buf_add_text(&text, line), 0);
    assert_int_equal(trust_parse(&t, buf_slice(&text), &e), ERR_INVALID);
    assert_int_equal(e.line, TRUST_LINES_MAX + 1);
    buf_release(&text);
}

static void test_an_endpoint_has_at_most_255_bytes(void **state) {
    char text[CURVE_TEXT_LEN + 400] = KEY_A " consumer ", *endpoint = text + strlen(text);
    struct trust t;
    struct text_error e;
    (void)state;
    memset(endpoint, 'h', TRUST_ENDPOINT_MAX + 1);
    memcpy(endpoint, "tcp://", 6);
    assert_int_equal(trust_parse(&t, slice_of(text), &e), ERR_INVALID);
    assert_string_equal(e.problem, "the endpoint is too long");
    endpoint[TRUST_ENDPOINT_MAX] = '\0';
    parsed(&t, text);
    assert_int_equal(strlen(t.lines[0].endpoint), TRUST_ENDPOINT_MAX);
    trust_release(&t);
    endpoint[7] = '\0';
    parsed(&t, text);
    assert_string_equal(t.lines[0].endpoint, "tcp://h");
    trust_release(&t);
}

static void test_a_file_has_at_most_one_mib(void **state) {
    static char text[TRUST_TEXT_MAX + 1];
    struct trust t;
    struct key_pair k;
    struct text_error e;
    (void)state;
    memset(text, ' ', sizeof text);
    memcpy(text, KEY_A " reader\n", CURVE_TEXT_LEN + 8);
    assert_int_equal(trust_parse(&t, slice_make(text, TRUST_TEXT_MAX), &e), 0);
    trust_release(&t);
    assert_int_equal(trust_parse(&t, slice_make(text, TRUST_TEXT_MAX + 1), &e), ERR_INVALID);
    assert_string_equal(e.problem, "the file is too large");
    static const char pair[] = "public " KEY_A "\nsecret " KEY_B "\n";
    memcpy(text, pair, sizeof pair - 1);
    assert_int_equal(key_pair_parse(&k, slice_make(text, TRUST_TEXT_MAX), &e), 0);
    assert_int_equal(key_pair_parse(&k, slice_make(text, TRUST_TEXT_MAX + 1), &e), ERR_INVALID);
    assert_string_equal(e.problem, "the file is too large");
}

static void test_each_role_has_its_name(void **state) {
    static const char *const names[] = {"producer", "uploader", "reader", "operator", "consumer"};
    unsigned all = 0;
    const char *problem;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        unsigned role = trust_roles_parse(edge_text(names[i]), &problem);
        assert_string_equal(trust_role_name((enum trust_role)role), names[i]);
        assert_int_equal(all & role, 0);
        all |= role;
    }
    assert_int_equal(trust_roles_parse(edge_text("producer,uploader,reader,operator,consumer"), &problem), all);
    assert_string_equal(trust_role_name((enum trust_role)0), "none");
    assert_int_equal(trust_roles_parse(edge_text(""), &problem), 0);
}

/* ---- key files ---- */

static void test_key_files(void **state) {
    static const struct {
        const char *text;
        size_t line;
        const char *what;
    } wrong[] = {
        {"", 0, "no line 'public"},
        {"# x\n", 0, "no line 'public"},
        {"public " KEY_A "\n", 0, "no line 'secret"},
        {"secret " KEY_B "\n", 0, "no line 'public"},
        {"public " KEY_A "\npublic " KEY_A "\nsecret " KEY_B "\n", 2, "already"},
        {"public " KEY_A "\nsecret " KEY_B " x\n", 2, "too many"},
        {"public " KEY_A "\nsecret short\n", 2, "not a key"},
        {"public " KEY_A "\nsecret\n", 2, "not a key"},
        {KEY_A " # host\n", 1, "neither"},
        {"public " KEY_A "\n\x02\nsecret " KEY_B "\n", 2, "control"},
    };
    struct key_pair k;
    struct text_error e;
    (void)state;
    assert_int_equal(key_pair_parse(&k, slice_of("# of a\r\nsecret " KEY_B " # s\r\n\npublic\t" KEY_A "\n"), &e), 0);
    assert_string_equal(k.public.text, KEY_A);
    assert_string_equal(k.secret.text, KEY_B);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(key_pair_parse(&k, edge_text(wrong[i].text), &e), ERR_INVALID);
        if (e.line != wrong[i].line || !strstr(e.problem, wrong[i].what))
            fail_msg("%zu: line %zu: %s", i, e.line, e.problem);
        assert_null(strstr(e.problem, KEY_B));
        assert_false(curve_key_is_set(&k.secret)); /* nothing of it stays */
    }
    printf("%zu damaged key files\n", sizeof wrong / sizeof wrong[0]);
}

UNIT_MAIN(cmocka_unit_test(test_bytes_become_text), cmocka_unit_test(test_texts_that_are_no_keys),
          cmocka_unit_test(test_lines), cmocka_unit_test(test_comments),
          cmocka_unit_test(test_a_file_of_comments_trusts_no_key), cmocka_unit_test(test_servers),
          cmocka_unit_test(test_damaged_files), cmocka_unit_test(test_cut_and_flipped),
          cmocka_unit_test(test_too_many_lines), cmocka_unit_test(test_an_endpoint_has_at_most_255_bytes),
          cmocka_unit_test(test_a_file_has_at_most_one_mib), cmocka_unit_test(test_each_role_has_its_name),
          cmocka_unit_test(test_key_files))
