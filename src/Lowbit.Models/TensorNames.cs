using System.Globalization;

namespace Lowbit.Models;

/// <summary>
/// What the parts of a model are called in a file, without the endings <c>.weight</c> and <c>.bias</c>. Names of a
/// block follow <see cref="Block"/>, in which {0} is the block's number. A null part does not exist in the family.
/// </summary>
public sealed record TensorNames
{
    /// <summary>Prefix of a block, with {0} for its number.</summary>
    public required string Block { get; init; }

    /// <summary>Token embedding.</summary>
    public required string Embedding { get; init; }

    /// <summary>Position embedding.</summary>
    public string? Positions { get; init; }

    /// <summary>From the embedding's width to the model's (OPT-350m).</summary>
    public string? ProjectIn { get; init; }

    /// <summary>From the model's width to the embedding's (OPT-350m).</summary>
    public string? ProjectOut { get; init; }

    /// <summary>Norm before the output projection.</summary>
    public required string FinalNorm { get; init; }

    /// <summary>Output projection, where it is not the embedding.</summary>
    public required string Head { get; init; }

    /// <summary>Norm of the attention part.</summary>
    public required string AttentionNorm { get; init; }

    /// <summary>Queries.</summary>
    public string Query { get; init; } = "";

    /// <summary>Keys.</summary>
    public string Key { get; init; } = "";

    /// <summary>Values.</summary>
    public string Value { get; init; } = "";

    /// <summary>Queries, keys and values in one projection.</summary>
    public string? Fused { get; init; }

    /// <summary>Norm of a query head.</summary>
    public string? QueryNorm { get; init; }

    /// <summary>Norm of a key head.</summary>
    public string? KeyNorm { get; init; }

    /// <summary>Norm of what the attention's output projection reads.</summary>
    public string? AttentionSubNorm { get; init; }

    /// <summary>Output of the attention part.</summary>
    public required string AttentionOutput { get; init; }

    /// <summary>Norm of the feed-forward part.</summary>
    public required string FfnNorm { get; init; }

    /// <summary>Gate of the feed-forward part.</summary>
    public string? Gate { get; init; }

    /// <summary>First projection of the feed-forward part.</summary>
    public required string Up { get; init; }

    /// <summary>Norm of what the second projection of the feed-forward part reads.</summary>
    public string? FfnSubNorm { get; init; }

    /// <summary>Second projection of the feed-forward part.</summary>
    public required string Down { get; init; }

    /// <summary>The full name of a part of a block.</summary>
    public string InBlock(int block, string part) => string.Format(CultureInfo.InvariantCulture, Block, block) + part;

    /// <summary>
    /// The name that a part of a model has here, given its name in a file of other names; other tensors keep theirs.
    /// </summary>
    /// <param name="name">Name in the other file, without ending.</param>
    /// <param name="from">The names of the other file.</param>
    /// <param name="blocks">Number of blocks.</param>
    public string Translate(string name, TensorNames from, int blocks)
    {
        (string? Theirs, string? Ours)[] outer = [(from.Embedding, Embedding), (from.Positions, Positions), (from.ProjectIn, ProjectIn), (from.ProjectOut, ProjectOut), (from.FinalNorm, FinalNorm), (from.Head, Head)];
        foreach ((string? theirs, string? ours) in outer)
        {
            if (name == theirs) return ours ?? name;
        }
        (string? Theirs, string? Ours)[] inner =
        [
            (from.AttentionNorm, AttentionNorm), (from.Query, Query), (from.Key, Key), (from.Value, Value), (from.Fused, Fused), (from.QueryNorm, QueryNorm), (from.KeyNorm, KeyNorm),
            (from.AttentionSubNorm, AttentionSubNorm), (from.AttentionOutput, AttentionOutput), (from.FfnNorm, FfnNorm), (from.Gate, Gate), (from.Up, Up), (from.FfnSubNorm, FfnSubNorm), (from.Down, Down),
        ];
        for (int block = 0; block < blocks; block++)
        {
            foreach ((string? theirs, string? ours) in inner)
            {
                if (!string.IsNullOrEmpty(theirs) && !string.IsNullOrEmpty(ours) && name == from.InBlock(block, theirs)) return InBlock(block, ours);
            }
        }
        return name;
    }

    /// <summary>Llama, Mistral, Qwen2, Qwen3, SmolLM3, BitNet in a Hugging Face folder.</summary>
    public static TensorNames Llama { get; } = new()
    {
        Block = "model.layers.{0}.",
        Embedding = "model.embed_tokens",
        FinalNorm = "model.norm",
        Head = "lm_head",
        AttentionNorm = "input_layernorm",
        Query = "self_attn.q_proj",
        Key = "self_attn.k_proj",
        Value = "self_attn.v_proj",
        QueryNorm = "self_attn.q_norm",
        KeyNorm = "self_attn.k_norm",
        AttentionSubNorm = "self_attn.attn_sub_norm",
        AttentionOutput = "self_attn.o_proj",
        FfnNorm = "post_attention_layernorm",
        Gate = "mlp.gate_proj",
        Up = "mlp.up_proj",
        FfnSubNorm = "mlp.ffn_sub_norm",
        Down = "mlp.down_proj",
    };

    /// <summary>The same families in a GGUF file.</summary>
    public static TensorNames Gguf { get; } = new()
    {
        Block = "blk.{0}.",
        Embedding = "token_embd",
        FinalNorm = "output_norm",
        Head = "output",
        AttentionNorm = "attn_norm",
        Query = "attn_q",
        Key = "attn_k",
        Value = "attn_v",
        QueryNorm = "attn_q_norm",
        KeyNorm = "attn_k_norm",
        AttentionOutput = "attn_output",
        FfnNorm = "ffn_norm",
        Gate = "ffn_gate",
        Up = "ffn_up",
        Down = "ffn_down",
    };

    /// <summary>OPT in a Hugging Face folder; the prefix differs between files.</summary>
    public static TensorNames Opt(string prefix) => new()
    {
        Block = prefix + "layers.{0}.",
        Embedding = prefix + "embed_tokens",
        Positions = prefix + "embed_positions",
        ProjectIn = prefix + "project_in",
        ProjectOut = prefix + "project_out",
        FinalNorm = prefix + "final_layer_norm",
        Head = "lm_head",
        AttentionNorm = "self_attn_layer_norm",
        Query = "self_attn.q_proj",
        Key = "self_attn.k_proj",
        Value = "self_attn.v_proj",
        AttentionOutput = "self_attn.out_proj",
        FfnNorm = "final_layer_norm",
        Up = "fc1",
        Down = "fc2",
    };

    /// <summary>GPT-2 in a Hugging Face folder; the prefix differs between files.</summary>
    public static TensorNames Gpt2(string prefix) => new()
    {
        Block = prefix + "h.{0}.",
        Embedding = prefix + "wte",
        Positions = prefix + "wpe",
        FinalNorm = prefix + "ln_f",
        Head = "lm_head",
        AttentionNorm = "ln_1",
        Fused = "attn.c_attn",
        AttentionOutput = "attn.c_proj",
        FfnNorm = "ln_2",
        Up = "mlp.c_fc",
        Down = "mlp.c_proj",
    };

    /// <summary>GPT-NeoX and Pythia in a Hugging Face folder.</summary>
    public static TensorNames GptNeoX { get; } = new()
    {
        Block = "gpt_neox.layers.{0}.",
        Embedding = "gpt_neox.embed_in",
        FinalNorm = "gpt_neox.final_layer_norm",
        Head = "embed_out",
        AttentionNorm = "input_layernorm",
        Fused = "attention.query_key_value",
        AttentionOutput = "attention.dense",
        FfnNorm = "post_attention_layernorm",
        Up = "mlp.dense_h_to_4h",
        Down = "mlp.dense_4h_to_h",
    };
}
