// Objects that a program allocates: a linked list and a red-black tree in global variables.
#include "kernel.h"
#include <bpf/bpf_core_read.h>

char LICENSE[] SEC("license") = "GPL";

#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))
#define private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))

extern void *bpf_obj_new_impl(__u64 type, void *meta) __ksym;
extern void bpf_obj_drop_impl(void *object, void *meta) __ksym;
extern int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, __u64 offset) __ksym;
extern struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __ksym;
extern int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			       bool(less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta, __u64 offset) __ksym;

struct item { long key; struct bpf_list_node node; };
struct leaf { long key; struct bpf_rb_node node; };

private(list) struct bpf_spin_lock list_lock;
private(list) struct bpf_list_head list __contains(item, node);
private(tree) struct bpf_spin_lock tree_lock;
private(tree) struct bpf_rb_root tree __contains(leaf, node);

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	return container_of(a, struct leaf, node)->key < container_of(b, struct leaf, node)->key;
}

SEC("?tc")
int use_list(struct __sk_buff *skb)
{
	struct item *item = bpf_obj_new_impl(bpf_core_type_id_local(struct item), 0);
	struct bpf_list_node *node;

	if (!item)
		return -1;
	item->key = skb->len;
	bpf_spin_lock(&list_lock);
	bpf_list_push_front_impl(&list, &item->node, 0, 0);
	node = bpf_list_pop_back(&list);
	bpf_spin_unlock(&list_lock);
	if (node)
		bpf_obj_drop_impl(container_of(node, struct item, node), 0);
	return -1;
}

SEC("?tc")
int use_tree(struct __sk_buff *skb)
{
	struct leaf *leaf = bpf_obj_new_impl(bpf_core_type_id_local(struct leaf), 0);

	if (!leaf)
		return -1;
	leaf->key = skb->len;
	bpf_spin_lock(&tree_lock);
	bpf_rbtree_add_impl(&tree, &leaf->node, less, 0, 0);
	bpf_spin_unlock(&tree_lock);
	return -1;
}
