"""npu_advance_step_flashattn, one request at a time."""


def advance_step(input_tokens, sampled_token_ids, input_positions, seq_lens, slot_mapping, block_tables,
                 num_seqs, num_queries, block_size, spec_token=None, accepted_num=None):
    """The four updated tensors (tokens, positions, lengths, slots); the arguments are left alone."""
    tokens, positions = input_tokens.clone(), input_positions.clone()
    lengths, slots = seq_lens.clone(), slot_mapping.clone()

    def slot(request, position):
        block = int(block_tables[request, position // block_size])
        return block * block_size + position % block_size

    if spec_token is None:
        sampled = sampled_token_ids.reshape(-1)
        for i in range(num_seqs):
            if i < num_queries:
                position = int(seq_lens[i])
                tokens[i], positions[i] = sampled[i], position
                lengths[i], slots[i] = position + 1, slot(i, position)
            else:
                tokens[i], positions[i], slots[i] = 0, 0, -1
        return tokens, positions, lengths, slots

    width = 1 + spec_token.shape[1]
    for request in range(num_seqs):
        row = sampled_token_ids[request].tolist()
        valid = row[:row.index(-1)] if -1 in row else row
        tokens[request * width] = valid[-1]
        for c in range(width):
            at = request * width + c
            if c:
                tokens[at] = spec_token[request, c - 1]
            position = int(input_positions[at]) + 1 + int(accepted_num[request])
            positions[at], lengths[at], slots[at] = position, position + 1, slot(request, position)
    return tokens, positions, lengths, slots
