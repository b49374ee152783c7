// Every kind of type that BTF knows, in globals and in a map.
#include "kernel.h"

char LICENSE[] SEC("license") = "GPL";

typedef __u64 bytes_t;
enum small { NEGATIVE = -1, ZERO, ONE };
enum large { HUGE = 0x1234567812345678ull };
union either { __u32 number; __u8 bytes[4]; };
struct bits { __u32 a : 3, b : 13; __s32 c : 7; __u64 d : 40; };
struct packed { __u8 first; __u32 second; __u64 third; } __attribute__((packed));
struct nested { struct bits bits; union { int x; float y; }; struct { int in; } named; int matrix[2][3]; };

__int128 wide = -5;
unsigned __int128 wide_unsigned = 5;
bool yes = true;
char letter = 'x';
signed char tiny = -7;
short medium = -300;
float single = 1.5f;
double twice = 2.25;
enum small small = NEGATIVE;
enum large large = HUGE;
union either either = { 0x04030201 };
struct bits bits = { 5, 4097, -3, 0xabcdef0123ull };
struct packed packed = { 1, 2, 3 };
struct nested nested = { .matrix = { { 1, 2, 3 }, { 4, 5, 6 } } };
bytes_t size = 1ull << 40;
char text[8] = "hello";
__u8 raw[4] = { 1, 2, 3, 4 };
void *pointer;
const volatile int constant = 9;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, struct packed);
	__type(value, struct nested);
} nests SEC(".maps");

SEC("socket")
int use_types(struct __sk_buff *skb)
{
	struct packed key = packed;
	struct nested *value = bpf_map_lookup_elem(&nests, &key);

	return value ? value->matrix[1][2] : constant + yes + letter;
}
