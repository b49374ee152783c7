// What clang makes of types: where members lie, and what their bytes are.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

typedef signed char s8_t;
typedef int (*callback_t)(int);
enum color { RED, GREEN = 5, BLUE = 0x80000000u };
enum sign { MINUS = -1, PLUS = 1 };
enum wide { BIG = 0x1122334455667788ull, LITTLE = 1 };
enum wide_sign { LEAST = -0x7000000000000000ll, MOST = 2 };
enum __attribute__((packed)) tiny { NONE, SOME };
struct later;
struct node { struct node *next; struct later *later; callback_t call; };
typedef struct { int x, y; } point_t;

struct scalars {
	char letter; s8_t s8; __u8 u8; short s16; __u16 u16; int s32; __u32 u32; long long s64; __u64 u64;
	__int128 s128; unsigned __int128 u128; bool yes; float single; double twice;
	enum color color; enum sign sign; enum wide wide; enum wide_sign wide_sign; enum tiny tiny;
	const volatile int qualified; struct node node;
};
struct scalars scalars = {
	'a', -3, 250, -300, 65000, -70000, 4000000000u, -5000000000ll, ~0ull,
	-5, ((unsigned __int128)1 << 100) | 7, true, 1.5f, -2.25,
	BLUE, MINUS, BIG, LEAST, SOME, 42, {},
};

struct arrays {
	char text[16], full[4], broken[4]; __u8 bytes[6]; s8_t signs[3]; __u32 matrix[2][3]; char names[2][4];
	bool flags[3]; __u32 nothing[0]; point_t points[2];
};
struct arrays arrays = {
	"hello", { 'f', 'u', 'l', 'l' }, { 'a', '\xff' }, { 1, 2, 3, 4, 5, 6 }, { -1, 2, -3 }, { { 1, 2, 3 }, { 4, 5, 6 } },
	{ "ab", "wxyz" }, { true, false, true }, {}, { { 1, -1 }, { 2, -2 } },
};

struct fields {
	__u32 a : 3, b : 29; int c : 5; __u64 d : 40; long long e : 20; enum color f : 3; bool g : 1;
	__u32 : 0; __u32 h : 32; enum sign i : 2; __u64 j : 64;
};
struct fields fields = { 5, 0x1abcdef, -7, 0xabcdef0123ull, -12345, GREEN, true, 0xfedcba98u, MINUS, ~0ull };

struct __attribute__((packed)) packed { __u8 a; __u64 b; __u32 c : 5, d : 7; short e; __u64 f : 50; int g : 14; };
struct packed packed = { 1, 0x0102030405060708ull, 17, 100, -2, 0x2aaaabbbbccccull, -8000 };

struct nameless {
	__u32 id;
	union { __u32 v4; __u8 v6[16]; };
	union { struct { __u32 low, high; }; __u64 both; };
	struct { short in; union { int number; float real; }; };
	struct { int class, function; } new;
};
struct nameless nameless = { 7, { .v4 = 0x01020304 }, { .both = 0x200000001ull }, { -2, { .real = 1.0f } }, { 1, 2 } };

union either { __u64 number; double real; char text[8]; __u8 bytes[8]; };
union either either = { .text = "either" };

struct line { __u16 length; __u8 kind; char text[]; };
struct line line = { 5, 9, { "flexible" } };
struct list { __u32 count; struct { short a; __u8 b; } items[]; };
struct list list = { 2, { { 1, 2 }, { -3, 4 } } };

SEC("socket")
int keep(struct __sk_buff *skb)
{
	return scalars.s32 + arrays.signs[0] + fields.a + packed.a + nameless.id + either.number + line.kind + list.count;
}
